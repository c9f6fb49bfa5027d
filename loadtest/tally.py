"""Which packets of one stream came: exact loss, whatever the order and however often."""


class Tally:
    """One octet per index, so that reordering, duplicates and repairs cannot confuse the count."""

    __slots__ = ("_seen", "duplicates", "highest", "reordered")

    # 300 s of the largest stream (8 Mb/s in packets of 1,100 octets) is 273,000 packets.
    MAX_INDEX = 1 << 20

    def __init__(self) -> None:
        self._seen = bytearray()
        self.highest = -1
        self.duplicates = 0
        self.reordered = 0

    def add(self, index: int) -> bool:
        """Note that `index` came; False if it came before or cannot be an index of ours."""
        seen = self._seen
        if index >= len(seen):
            if index >= self.MAX_INDEX:
                return False
            seen.extend(bytes(max(index + 1 - len(seen), 4096)))
        if seen[index]:
            self.duplicates += 1
            return False
        seen[index] = 1
        if index > self.highest:
            self.highest = index
        else:
            self.reordered += 1
        return True

    def came(self, first: int, end: int) -> int:
        """How many different indices in [first, end) came."""
        return self._seen.count(1, first, min(end, len(self._seen))) if end > first else 0
