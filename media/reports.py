"""RTCP in both directions for one peer: what its packets mean, and the reports and requests it is due."""

from __future__ import annotations

from media import rtcp
from media.forward import Sender
from media.outlet import Outlet
from media.pace import RECENT
from media.peer import Peer
from media.rtcp import (
    Bye,
    KeyframeRequest,
    Nack,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    TransportFeedback,
)
from media.stream import Stream

MAX_COMPOUND = 1100  # bytes: with SRTCP's trailer and UDP/IPv6 headers still under 1,280
MAX_BLOCKS = 31
ASSUMED_RTT = 0.05  # seconds, towards a client that has not reported yet
MAX_NACKED = 64  # numbers in one NACK packet of ours


def handle(peer: Peer, packets: list[rtcp.RtcpPacket], now: float, sender: Sender) -> None:
    """Act on an authenticated compound packet from `peer`. SSRCs that are not its own business are ignored."""
    for packet in packets:
        match packet:
            case SenderReport(ssrc=ssrc, ntp=ntp, timestamp=timestamp, blocks=blocks):
                stream = peer.streams.get(ssrc)
                if stream is not None:
                    stream.report_ntp, stream.report_timestamp, stream.report_at = ntp, timestamp, now
                _read_blocks(peer, blocks, now)
            case ReceiverReport(blocks=blocks):
                _read_blocks(peer, blocks, now)
            case Nack(ssrc=ssrc, missing=missing):
                outlet = peer.outlets_by_ssrc.get(ssrc)
                if outlet is not None:
                    outlet.nacks += 1
                    sender.resend(outlet, missing, now)
            case KeyframeRequest(ssrc=ssrc):
                outlet = peer.outlets_by_ssrc.get(ssrc)
                if outlet is not None:
                    outlet.plis += 1
                    stream = outlet.stream or outlet.target
                    if stream is not None:
                        stream.want_keyframe()
            case TransportFeedback():
                peer.downlink.on_feedback(packet, now)
            case Remb(rate=rate):
                if peer.config.adapt_downlink and not peer.numbered:
                    peer.downlink.on_remb(rate)
            case Bye(ssrcs=ssrcs):
                for ssrc in ssrcs:
                    peer.end_stream(ssrc, now)
            case _:
                pass


def _read_blocks(peer: Peer, blocks: tuple[ReportBlock, ...], now: float) -> None:
    for block in blocks:
        outlet = peer.outlets_by_ssrc.get(block.ssrc)
        if outlet is None:
            continue
        outlet.lost = block.lost
        outlet.loss += (block.fraction_lost / 256 - outlet.loss) * RECENT
        outlet.jitter = float(block.jitter)
        if block.last_report and block.last_report == outlet.report_middle:
            rtt = now - outlet.report_sent_at - block.delay / 65536
            if 0 <= rtt < 10:
                outlet.rtt = rtt
                peer.rtt = peer.rtt + (rtt - peer.rtt) / 8 if peer.rtt else rtt


def requests(peer: Peer, now: float, keyframe_interval: float, nacks: bool = True) -> list[bytes]:
    """The NACKs and PLIs that are due towards a publisher; without `nacks`, those wait."""
    due: list[bytes] = []
    for stream in peer.streams.values():
        if nacks and stream.missing:
            numbers, _ = stream.missing.take_due(now, peer.rtt or ASSUMED_RTT)
            for at in range(0, len(numbers), MAX_NACKED):
                part = [number & 0xFFFF for number in numbers[at : at + MAX_NACKED]]
                due.append(rtcp.write_nack(peer.ssrc, stream.ssrc, part))
                stream.nacks += 1
        if stream.keyframe_wanted and now - stream.keyframe_at >= keyframe_interval:
            stream.keyframe_at = now
            stream.plis += 1
            due.append(rtcp.write_pli(peer.ssrc, stream.ssrc))
    return due


def feedback(peer: Peer) -> list[bytes]:
    """Transport-wide feedback about everything that arrived since the last one."""
    first = next(iter(peer.streams), 0)
    return peer.arrivals.take(peer.ssrc, first)


def reports(peer: Peer, now: float) -> list[bytes]:
    """The compound packets due each second: sender reports for what we send, report blocks for what we got."""
    config = peer.config
    for stream in peer.streams.values():
        stream.settle(config.keyframe_cache_seconds, config.ring_seconds, config.ring_octets, now)
    blocks = [_block(stream, now) for stream in peer.streams.values() if stream.received]
    compounds: list[bytes] = []
    current = b""
    names: list[tuple[int, bytes]] = []
    for outlet in peer.outlets.values():
        outlet.bitrate.update(outlet.octets, now)
        outlet.frozen.update(outlet.watch.freeze_seconds, now)
        report = _sender_report(outlet, now, tuple(blocks[:MAX_BLOCKS]))
        if report is None:
            continue
        written = rtcp.write_sender_report(report)
        if current and len(current) + len(written) + 16 * (len(names) + 1) > MAX_COMPOUND:
            compounds.append(current + rtcp.write_cnames(names))
            current, names = b"", []
        current += written
        names.append((outlet.ssrc, outlet.cname))
        del blocks[:MAX_BLOCKS]
    if not current and blocks:
        current = rtcp.write_receiver_report(peer.ssrc, tuple(blocks[:MAX_BLOCKS]))
        names = [(peer.ssrc, b"visavis")]
    if current:
        compounds.append(current + rtcp.write_cnames(names))
    for stream in peer.streams.values():
        stream.bitrate.update(stream.bytes, now)
        stream.frozen.update(stream.pace.freeze_seconds, now)
    return compounds


def _block(stream: Stream, now: float) -> ReportBlock:
    expected = stream.highest - stream.base + 1
    expected_now = expected - stream.expected_before
    lost_now = expected_now - (stream.received - stream.received_before)
    stream.expected_before, stream.received_before = expected, stream.received
    fraction = 0 if expected_now <= 0 or lost_now <= 0 else min(255, (lost_now << 8) // expected_now)
    stream.loss += (fraction / 256 - stream.loss) * RECENT
    middle = stream.report_ntp >> 16 & 0xFFFFFFFF
    return ReportBlock(
        ssrc=stream.ssrc,
        fraction_lost=fraction,
        lost=stream.lost,
        highest=stream.highest - 0x10000,
        jitter=int(stream.jitter),
        last_report=middle,
        delay=int((now - stream.report_at) * 65536) if middle else 0,
    )


def _sender_report(outlet: Outlet, now: float, blocks: tuple[ReportBlock, ...]) -> SenderReport | None:
    """The publisher's own NTP to RTP mapping, carried on to now and into this outlet's timestamps.

    Keeping his NTP clock for all his streams is what lets the browser synchronise them.
    """
    stream = outlet.stream
    if stream is None or not stream.report_ntp:
        return None
    elapsed = now - stream.report_at
    ntp = stream.report_ntp + int(elapsed * (1 << 32)) & 0xFFFFFFFFFFFFFFFF
    outlet.report_middle = ntp >> 16 & 0xFFFFFFFF
    outlet.report_sent_at = now
    timestamp = stream.report_timestamp + int(elapsed * stream.clock_rate) + outlet.timestamp_offset
    return SenderReport(outlet.ssrc, ntp, timestamp & 0xFFFFFFFF, outlet.packets, outlet.octets, blocks)
