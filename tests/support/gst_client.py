"""A WHIP or WHEP client made of GStreamer's webrtcbin and libnice; run by the system's Python, which has its bindings.

``python3 gst_client.py whip|whep URL TOKEN`` writes one line of JSON for each thing that happens: ``answered``,
``connected``, ``frame`` (a decoded picture) and at the end, when standard input closes, ``left``.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from typing import Any
from urllib.parse import urljoin

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found]  # noqa: E402

SEND = (
    "webrtcbin name=peer bundle-policy=max-bundle"
    " videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1"
    " ! vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay picture-id-mode=15-bit"
    " ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer."
    " audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample ! opusenc ! rtpopuspay"
    " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer."
)
RECEIVE = "webrtcbin name=peer bundle-policy=max-bundle"
CAPS = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
    "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000,rtcp-fb-nack-pli=true",
)


def say(event: str, **more: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


def request(method: str, url: str, token: str, body: bytes | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=10)


class Client:
    def __init__(self, kind: str, url: str, token: str) -> None:
        self.kind, self.url, self.token = kind, url, token
        self.resource = ""
        self.pipeline = Gst.parse_launch(SEND) if kind == "whip" else Gst.Pipeline.new("player")
        if kind == "whep":
            self.pipeline.add(Gst.parse_launch(RECEIVE))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("on-negotiation-needed", self.offer)
        self.peer.connect("notify::connection-state", self.state)
        if kind == "whip":
            index = 0
            while (transceiver := self.peer.emit("get-transceiver", index)) is not None:
                transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
                index += 1
        else:
            self.peer.connect("pad-added", self.decode)
            for caps in CAPS:
                direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self.peer.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.failed)
        self.pipeline.set_state(Gst.State.PLAYING)

    def failed(self, _bus: Any, message: Any) -> None:
        error, _ = message.parse_error()
        say("error", text=error.message)

    def state(self, peer: Any, _: Any) -> None:
        if peer.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            say("connected")

    def offer(self, peer: Any) -> None:
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise: Any) -> None:
        promise.wait()
        reply = promise.get_reply()  # owns the description
        description = reply.get_value("offer")
        self.peer.emit("set-local-description", description, None)
        with request("POST", self.url, self.token, description.sdp.as_text().encode()) as response:
            self.resource = urljoin(self.url, response.headers["Location"])
            answer = response.read()
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(answer, message)
        new = GstWebRTC.WebRTCSessionDescription.new
        self.peer.emit("set-remote-description", new(GstWebRTC.WebRTCSDPType.ANSWER, message), None)
        say("answered")

    def decode(self, _peer: Any, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        video = "video" in pad.get_current_caps().to_string()
        chain = "rtpvp8depay ! vp8dec" if video else "rtpopusdepay ! opusdec"
        rest = Gst.parse_bin_from_description(
            f"{chain} ! fakesink name=end sync=false signal-handoffs=true", True
        )
        end = rest.get_by_name("end")
        kind = "video" if video else "audio"
        end.connect("handoff", lambda *_: say("frame", kind=kind))
        self.pipeline.add(rest)
        rest.sync_state_with_parent()
        pad.link(rest.get_static_pad("sink"))

    def leave(self) -> None:
        if self.resource:
            with request("DELETE", self.resource, self.token) as response:
                say("left", status=response.status)
        self.pipeline.set_state(Gst.State.NULL)


def main() -> None:
    Gst.init(None)
    loop = GLib.MainLoop()
    client = Client(*sys.argv[1:4])

    def until_told() -> None:
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=until_told, daemon=True).start()
    loop.run()
    client.leave()


if __name__ == "__main__":
    main()
