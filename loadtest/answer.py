"""Reads of an SDP answer what a sending peer must know, and refuses what a browser would refuse."""

from dataclasses import dataclass

from loadtest.options import LoadError


@dataclass(frozen=True, slots=True)
class Section:
    """One m-line of the answer. `extensions` maps URI to id, `codecs` payload type to name in lower case."""

    mid: str
    kind: str
    direction: str
    codecs: dict[int, str]
    extensions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """Where and how to connect, and the m-lines in order."""

    ufrag: str
    password: str
    fingerprint: str  # SHA-256, upper case with colons
    candidates: tuple[tuple[str, int], ...]  # UDP host candidates, best first
    sections: tuple[Section, ...]
    lite: bool = True  # only answers connectivity checks (RFC 8445 section 2.5)

    def section(self, mid: str) -> Section:
        """The m-line with this mid. Raises LoadError."""
        for section in self.sections:
            if section.mid == mid:
                return section
        raise LoadError(f"The answer has no m-line with mid {mid}")


def parse_answer(sdp: str, expected_setup: str = "passive") -> Answer:
    """Also reads an offer that a server makes, if told its setup.

    Raises LoadError with everything that is missing for BUNDLE, ICE and DTLS as client (RFC 8829).
    """
    blocks = sdp.replace("\r\n", "\n").split("\nm=")
    session = blocks[0].splitlines()
    sections = tuple(_section("m=" + block) for block in blocks[1:])
    lines = sdp.replace("\r\n", "\n").splitlines()

    def first(prefix: str) -> str:
        return next((line[len(prefix) :].strip() for line in lines if line.startswith(prefix)), "")

    ufrag, password = first("a=ice-ufrag:"), first("a=ice-pwd:")
    setup, fingerprint = first("a=setup:"), first("a=fingerprint:sha-256 ").upper()
    candidates = _candidates(lines)
    faults = [
        text
        for wrong, text in (
            (not any(line.startswith("a=group:BUNDLE") for line in session), "no BUNDLE group"),
            (not sections, "no m-lines"),
            (not ufrag or not password, "no ICE credentials"),
            (not fingerprint, "no SHA-256 fingerprint"),
            (setup != expected_setup, f"setup is {setup or 'absent'}, not {expected_setup}"),
            (not candidates, "no UDP candidate"),
            (len({section.mid for section in sections}) < len(sections), "a mid twice"),
        )
        if wrong
    ]
    if faults:
        raise LoadError("The answer is unusable: " + ", ".join(faults))
    return Answer(ufrag, password, fingerprint, candidates, sections, "a=ice-lite" in session)


def _section(text: str) -> Section:
    lines = text.splitlines()
    words = lines[0][2:].split()
    if len(words) < 4:
        raise LoadError(f"The answer has a broken m-line: {lines[0]!r}")
    attributes = [line[2:] for line in lines[1:] if line.startswith("a=")]
    codecs: dict[int, str] = {}
    extensions: dict[str, int] = {}
    mid, direction = "", "inactive" if words[1] == "0" else "sendrecv"
    try:
        for attribute in attributes:
            name, _, value = attribute.partition(":")
            match name:
                case "mid":
                    mid = value
                case "sendonly" | "recvonly" | "sendrecv" | "inactive":
                    direction = name
                case "rtpmap":
                    number, _, codec = value.partition(" ")
                    codecs[int(number)] = codec.partition("/")[0].lower()
                case "extmap":
                    number, uri = value.split()[:2]
                    extensions[uri] = int(number.partition("/")[0])
                case _:
                    continue
    except ValueError as error:
        raise LoadError(f"The answer has a broken attribute: {error}") from error
    return Section(mid, words[0], direction, codecs, extensions)


def _candidates(lines: list[str]) -> tuple[tuple[str, int], ...]:
    found: dict[tuple[str, int], int] = {}
    for line in lines:
        words = line.removeprefix("a=candidate:").split()
        if (
            not line.startswith("a=candidate:")
            or len(words) < 8
            or words[2].lower() != "udp"
            or words[7] != "host"
        ):
            continue
        if words[5].isdecimal() and words[3].isdecimal():
            found[words[4], int(words[5])] = int(words[3])
    return tuple(sorted(found, key=lambda address: -found[address]))
