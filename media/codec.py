"""Which codecs are forwarded, in which variants, and who can be sent which: the table to extend for another one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass

from media import av1, h264, vp8, vp9
from media.api import Kind

Buffer = bytes | bytearray | memoryview
KeyframeTest = Callable[[Buffer, int, int], bool]
HeightReader = Callable[[bytes], int]


def never(_data: Buffer, _start: int, _end: int) -> bool:
    """Audio has no keyframes."""
    return False


def no_height(_payload: bytes) -> int:
    """Audio has none."""
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class ForwardedCodec:
    """One variant of a codec: what a payload type may mean. There is one object of each.

    `name` is its SDP name in lower case, `key` names the variant; `fits` are the keys under which a receiver may be
    sent it, the best first. `keyframe` tells a keyframe's first packet, `height` the lines of its picture if the
    payload says them (else 0). `scalable`: may carry several layers in one stream.
    """

    name: str
    kind: Kind
    clock_rate: int
    keyframe: KeyframeTest
    height: HeightReader
    key: str
    fits: tuple[str, ...]
    scalable: bool = False

    def among(self, keys: Container[str]) -> str | None:
        """Under which of a receiver's variants it can be sent this; None: under none."""
        return next((key for key in self.fits if key in keys), None)


def _video(
    name: str,
    keyframe: KeyframeTest,
    height: HeightReader,
    key: str,
    fits: tuple[str, ...],
    scalable: bool = False,
) -> ForwardedCodec:
    return ForwardedCodec(name, "video", 90000, keyframe, height, key, fits, scalable)


OPUS = ForwardedCodec("opus", "audio", 48000, never, no_height, "opus", ("opus",))
# Who does not take redundancy is sent the Opus packet within: nobody's choice silences anybody.
RED = ForwardedCodec("red", "audio", 48000, never, no_height, "red", ("red", "opus"))
VP8 = _video("vp8", vp8.keyframe, vp8.height, "vp8", ("vp8",))
VP9 = _video("vp9", vp9.keyframe, vp9.height, "vp9", ("vp9",), scalable=True)
AV1 = _video("av1", av1.keyframe, av1.height, "av1", ("av1",), scalable=True)
H264 = {
    (profile, mode): _video(
        "h264", h264.keyframe, h264.height, h264.key(profile, mode), h264.fits(profile, mode), scalable=True
    )
    for profile in h264.PROFILES
    for mode in (1, 0)
}
CODECS: tuple[ForwardedCodec, ...] = (OPUS, RED, VP8, *H264.values(), VP9, AV1)


def recognise(name: str, clock_rate: int, parameter: Callable[[str], str | None]) -> ForwardedCodec | None:
    """What an offered payload type is, None if it is not forwarded. `parameter` gives the value of an fmtp parameter.

    VP9 and AV1 in profile 0 only (8 bits, 4:2:0): what every browser with the codec decodes.
    """
    match name, clock_rate:
        case "opus", 48000:
            return OPUS
        case "red", 48000:
            return RED
        case "vp8", 90000:
            return VP8
        case "vp9", 90000 if parameter("profile-id") in (None, "0"):
            return VP9
        case "av1", 90000 if parameter("profile") in (None, "0"):
            return AV1
        case "h264", 90000:
            profile = h264.profile(parameter("profile-level-id"))
            mode = {None: 0, "0": 0, "1": 1}.get(parameter("packetization-mode"))
            return H264[profile, mode] if profile is not None and mode is not None else None
    return None


def ranked(offered: Sequence[ForwardedCodec], viewers: Collection[Container[str]] = ()) -> list[int]:
    """The places of what a client may send, in the order in which it is asked to prefer them.

    First what all the viewers (each the keys of its variants) can be sent, so that nobody in the room is left without
    a picture; then as the client ordered it, but of the variants of one codec those first that most receivers
    understand.
    """
    first: dict[str, int] = {}
    for place, codec in enumerate(offered):
        first.setdefault(codec.name, place)

    def rank(place: int) -> tuple[bool, int, int]:
        codec = offered[place]
        shared = all(codec.among(keys) is not None for keys in viewers)
        return not shared, first[codec.name], -len({key.rpartition("/")[0] for key in codec.fits})

    return sorted(range(len(offered)), key=rank)
