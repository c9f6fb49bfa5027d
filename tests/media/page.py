"""The web page the browser tests run: a minimal client of the SFU, as a string and the little server that serves it."""

from __future__ import annotations

from aiohttp import web

from media import MediaServer, OfferError

HTML = """<!doctype html><meta charset="utf-8"><title>media test</title><body><script src="/client.js"></script>"""

CLIENT = """
const pcs = {};

async function post(query, offer) {
  const response = await fetch('/offer?' + new URLSearchParams(query), {method: 'POST', body: offer.sdp});
  let sdp = await response.text();
  if (!response.ok) throw new Error(sdp);
  if (window.relayPort) sdp = sdp.replace(/^(a=candidate:.* 127[.]0[.]0[.]1) [0-9]+ /gm, `$1 ${window.relayPort} `);
  return {type: 'answer', sdp};
}

async function negotiate(name, options) {
  const {pc, query} = pcs[name];
  const offer = await pc.createOffer(options || {});
  await pc.setLocalDescription(offer);
  await pc.setRemoteDescription(await post(query, offer));
}

// `codec` as 'video/H264;packetization-mode=0;profile-level-id=42e01f': name and what its parameters must contain.
function prefer(transceiver, kind, codec, only) {
  const [name, ...parameters] = codec.split(';');
  const all = RTCRtpSender.getCapabilities(kind).codecs;
  const wanted = all.filter(c => c.mimeType.toLowerCase() === name.toLowerCase() &&
    parameters.every(p => (c.sdpFmtpLine || '').split(';').includes(p)));
  if (!wanted.length) throw new Error('no codec ' + codec);
  const rest = all.filter(c => only ? c.mimeType.endsWith('/rtx') : !wanted.includes(c));
  transceiver.setCodecPreferences([...wanted, ...rest]);
}

// Chromium offers the dependency descriptor by itself only where it sends layers.
function describe(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate();
  const descriptor = extensions.find(e => e.uri.includes('dependency-descriptor'));
  descriptor.direction = 'sendrecv';
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}

async function join(name, query, {
  send = true, slots = 2, both = false, simulcast = false, large = false, config = {}, data = {},
  describes = true, audioCodec = '', codec = '', mode = '', height = 0, bitrate = 0,
} = {}) {
  const pc = new RTCPeerConnection(config);
  const tracks = [];
  pcs[name] = {pc, query, tracks};
  pc.ontrack = event => {
    const element = document.createElement(event.track.kind);
    element.autoplay = true; element.playsInline = true;
    element.srcObject = new MediaStream([event.track]);
    document.body.append(element);
    tracks.push({mid: event.transceiver.mid, stream: event.streams[0] && event.streams[0].id, element});
  };
  if (send) {
    const media = await navigator.mediaDevices.getUserMedia(
      {audio: true, video: {width: large ? 1280 : 640, height: large ? 720 : 360, frameRate: 30}});
    if (height) await media.getVideoTracks()[0].applyConstraints({height, width: height * 16 / 9});
    pcs[name].media = media;
    const direction = both ? 'sendrecv' : 'sendonly';
    const sound = pc.addTransceiver(media.getAudioTracks()[0], {direction});
    if (audioCodec) prefer(sound, 'audio', audioCodec, false);
    const layers = [1, 2, 4].map((by, i) => ({rid: 'fhq'[i], scaleResolutionDownBy: by}));
    const single = [{...(mode && {scalabilityMode: mode}), ...(bitrate && {maxBitrate: bitrate})}];
    const picture = pc.addTransceiver(media.getVideoTracks()[0],
      {direction, sendEncodings: simulcast ? layers : single});
    if (codec) prefer(picture, 'video', codec, true);
  }
  for (let i = 0; i < slots; i++) {
    pc.addTransceiver('audio', {direction: 'recvonly'});
    const slot = pc.addTransceiver('video', {direction: 'recvonly'});
    if (describes) describe(slot);
  }
  pcs[name].channels = {}; pcs[name].heard = {};
  for (const [label, parameters] of Object.entries(data)) {
    const channel = pcs[name].channels[label] = pc.createDataChannel(label, parameters);
    const heard = pcs[name].heard[label] = [];
    channel.binaryType = 'arraybuffer';
    channel.onmessage = e => heard.push(typeof e.data === 'string' ? e.data : [...new Uint8Array(e.data)]);
  }
  await negotiate(name);
}

async function report(name) {
  const {pc, tracks} = pcs[name];
  const result = {state: pc.connectionState, inbound: {}, outbound: {}, remote: [], heard: pcs[name].heard,
                  channels: Object.fromEntries(Object.entries(pcs[name].channels).map(([l, c]) => [l, c.readyState]))};
  const stats = await pc.getStats();
  for (const s of stats.values()) {
    if (s.type === 'inbound-rtp') result.inbound[s.mid] = {...s, codec: stats.get(s.codecId)};
    if (s.type === 'outbound-rtp') result.outbound[s.mid + (s.rid || '')] = s;
    if (s.type === 'remote-outbound-rtp' || s.type === 'remote-inbound-rtp') result.remote.push(s);
    if (s.type === 'candidate-pair' && s.nominated) result.pair = s;
  }
  if (result.pair) result.local = stats.get(result.pair.localCandidateId);
  if (result.pair) {
    result.local = stats.get(result.pair.localCandidateId);
    result.remote = stats.get(result.pair.remoteCandidateId);
  }
  result.tracks = tracks.map(t => ({mid: t.mid, stream: t.stream, width: t.element.videoWidth || 0,
                                    time: t.element.currentTime}));
  return result;
}

async function until(name, condition, milliseconds = 20000) {
  const test = new Function('r', 'return ' + condition);
  const end = performance.now() + milliseconds;
  let last;
  while (performance.now() < end) {
    last = await report(name);
    if (test(last)) return last;
    await new Promise(done => setTimeout(done, 50));
  }
  throw new Error('waited in vain for ' + condition + ' in ' + JSON.stringify(last));
}
"""


def application(server: MediaServer) -> web.Application:
    """Serves the page, and lets it join: POST /offer?room=&participant=&peer= with the offer as body."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=HTML, content_type="text/html")

    async def script(_: web.Request) -> web.Response:
        return web.Response(text=CLIENT, content_type="text/javascript")

    async def offer(request: web.Request) -> web.Response:
        query = request.query
        try:
            answer = await server.join(
                room_id=query["room"],
                participant_id=query["participant"],
                peer_id=query["peer"],
                offer_sdp=await request.text(),
            )
        except OfferError as error:
            return web.Response(status=400, text=error.code)
        return web.Response(text=answer, content_type="application/sdp")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/client.js", script), web.post("/offer", offer)])
    return app
