"""The last 20 octets of every payload: which packet this is and when it left, so that receivers measure exactly."""

from struct import Struct

# run (a random number, so that packets of an earlier run are not counted), stream, index, nanoseconds since the epoch.
# At the end of the payload, because codec headers, extensions and RTX prefixes all come before it.
STAMP = Struct("!IIIQ")
SIZE = STAMP.size

Writable = bytearray | memoryview
Readable = bytes | bytearray | memoryview


def write(buffer: Writable, end: int, run: int, stream: int, index: int, sent_ns: int) -> None:
    """Put the stamp into the 20 octets before `end`."""
    STAMP.pack_into(buffer, end - SIZE, run, stream, index, sent_ns)


def read(buffer: Readable, start: int, end: int, run: int) -> tuple[int, int, int] | None:
    """(stream, index, sent_ns) of a payload between `start` and `end`, or None if it bears no stamp of this run."""
    if end - start < SIZE:
        return None
    found, stream, index, sent_ns = STAMP.unpack_from(buffer, end - SIZE)
    return (stream, index, sent_ns) if found == run else None
