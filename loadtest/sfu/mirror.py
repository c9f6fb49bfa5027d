"""The answer of a client to an offer that a server makes: everything offered is taken."""

from loadtest.offer import Identity

_COPIED = ("a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:", "a=rtcp-mux", "a=rtcp-rsize")


def answer_to(offer: str, identity: Identity, fingerprint: str) -> str:
    """As active DTLS endpoint, receiving on every m-line that the server sends on."""
    head, *sections = offer.replace("\r\n", "\n").split("\nm=")
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    lines += [line for line in head.splitlines() if line.startswith("a=group:")]
    for section in sections:
        first, *rest = section.splitlines()
        lines += [
            f"m={first}",
            "c=IN IP4 127.0.0.1",
            f"a=ice-ufrag:{identity.ufrag}",
            f"a=ice-pwd:{identity.password}",
            f"a=fingerprint:sha-256 {fingerprint}",
            "a=setup:active",
            "a=recvonly" if "a=sendonly" in rest or "a=sendrecv" in rest else "a=inactive",
        ]
        lines += [line for line in rest if line.startswith(_COPIED)]
    return "\r\n".join(lines) + "\r\n"
