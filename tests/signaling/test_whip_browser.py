"""A page of another origin, written to RFC 9725 and the WHEP draft, in real Chromium: trickle, ICE restart, leaving."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web as http
from playwright.async_api import Browser, Page

from tests.signaling.conftest import Stage, until
from tests.support.browsers import close

pytestmark = pytest.mark.browser

HTML = '<!doctype html><meta charset="utf-8"><title>studio</title><body><script src="/studio.js"></script>'
STUDIO = """
const clients = {};

class Client {
  // A WHIP or WHEP client that knows nothing of the server but an endpoint and a token.
  constructor(endpoint, token) {
    this.endpoint = endpoint;
    this.token = token;
    this.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
    this.candidates = [];
    this.pc.onicecandidate = ({candidate}) => candidate && this.candidates.push(candidate.candidate);
    this.pc.ontrack = ({track}) => {
      const element = document.createElement(track.kind);
      Object.assign(element, {autoplay: true, srcObject: new MediaStream([track])});
      document.body.append(element);
    };
  }

  async request(method, url, headers = {}, body) {
    return fetch(url, {method, body, headers: {Authorization: `Bearer ${this.token}`, ...headers}});
  }

  async open() {
    await this.pc.setLocalDescription();
    const response = await this.request('POST', this.endpoint, {'Content-Type': 'application/sdp'},
      this.pc.localDescription.sdp);
    if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
    this.resource = new URL(response.headers.get('Location'), this.endpoint);
    this.tag = response.headers.get('ETag');
    this.link = response.headers.get('Link');
    await this.pc.setRemoteDescription({type: 'answer', sdp: await response.text()});
  }

  fragment(candidates) {
    const of = name => this.pc.localDescription.sdp.match(new RegExp(`^a=${name}:.*$`, 'm'))[0];
    const lines = [of('ice-ufrag'), of('ice-pwd'), 'm=audio 9 RTP/AVP 0', of('mid')];
    return [...lines, ...candidates.map(it => `a=${it}`), 'a=end-of-candidates', ''].join('\\r\\n');
  }

  async trickle() {
    const response = await this.request('PATCH', this.resource,
      {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': this.tag}, this.fragment(this.candidates));
    return response.status;
  }

  async restart() {
    await this.pc.setLocalDescription(await this.pc.createOffer({iceRestart: true}));
    const response = await this.request('PATCH', this.resource,
      {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'}, this.fragment([]));
    const answer = await response.text();
    const before = this.tag;
    this.tag = response.headers.get('ETag');
    // Nothing but the credentials is new: the rest of the answer still holds.
    let sdp = this.pc.remoteDescription.sdp;
    for (const name of ['ice-ufrag', 'ice-pwd']) {
      const line = new RegExp(`^a=${name}:.*$`, 'gm');
      sdp = sdp.replace(line, answer.match(new RegExp(`^a=${name}:.*$`, 'm'))[0].trim());
    }
    await this.pc.setRemoteDescription({type: 'answer', sdp});
    return {status: response.status, other: this.tag !== before};
  }

  async leave() {
    const response = await this.request('DELETE', this.resource);
    this.pc.close();
    return response.status;
  }

  async numbers() {
    const numbers = {decoded: 0, heard: 0, sent: 0, state: this.pc.connectionState};
    const stats = await this.pc.getStats();
    for (const s of stats.values()) {
      if (s.type === 'inbound-rtp' && s.kind === 'video') numbers.decoded += s.framesDecoded || 0;
      if (s.type === 'inbound-rtp' && s.kind === 'audio') numbers.heard += s.totalAudioEnergy || 0;
      if (s.type === 'outbound-rtp' && s.kind === 'video') numbers.sent += s.framesSent || 0;
      // Which ICE session carries the media now.
      if (s.type === 'transport') numbers.ufrag = stats.get(stats.get(s.selectedCandidatePairId)?.localCandidateId)
        ?.usernameFragment;
    }
    numbers.fresh = this.pc.localDescription.sdp.split(/[\\r\\n]+/).includes(`a=ice-ufrag:${numbers.ufrag}`);
    return numbers;
  }

  async until(condition, milliseconds = 20000) {
    const holds = new Function('n', `return ${condition}`);
    const end = performance.now() + milliseconds;
    let last;
    while (performance.now() < end) {
      last = await this.numbers();
      if (holds(last)) return last;
      await new Promise(done => setTimeout(done, 50));
    }
    throw new Error(`waited in vain for ${condition}: ${JSON.stringify(last)}`);
  }
}

async function publish(name, endpoint, token) {
  const client = clients[name] = new Client(endpoint, token);
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
  for (const track of media.getTracks()) client.pc.addTransceiver(track, {direction: 'sendonly', streams: [media]});
  await client.open();
  return client.link;
}

async function watch(name, endpoint, token) {
  const client = clients[name] = new Client(endpoint, token);
  for (const kind of ['audio', 'video']) client.pc.addTransceiver(kind, {direction: 'recvonly'});
  await client.open();
}
"""


@asynccontextmanager
async def studio() -> AsyncIterator[str]:
    """Somebody else's web server."""

    async def page(_: http.Request) -> http.Response:
        return http.Response(text=HTML, content_type="text/html")

    async def script(_: http.Request) -> http.Response:
        return http.Response(text=STUDIO, content_type="text/javascript")

    app = http.Application()
    app.add_routes([http.get("/", page), http.get("/studio.js", script)])
    runner = http.AppRunner(app)
    await runner.setup()
    try:
        await http.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def run(page: Page, script: str, *arguments: Any) -> Any:
    return await page.evaluate(script, list(arguments))


async def test_a_foreign_page_publishes_and_watches(stage: Stage, chromium: Browser) -> None:
    mentor, mentee = await stage.token(stage.mentor), await stage.token(stage.mentee)
    whip, whep = (f"{stage.world.base}/{kind}/{stage.session_id}" for kind in ("whip", "whep"))
    async with studio() as address:
        context = await chromium.new_context(permissions=["camera", "microphone"])
        page = await context.new_page()
        await page.goto(address)
        await run(page, "([url, token]) => publish('camera', url, token)", whip, mentor)
        await run(page, "() => clients.camera.until(\"n.state === 'connected' && n.sent > 5\")")
        assert await run(page, "() => clients.camera.trickle()") == 204
        await run(page, "([url, token]) => watch('screen', url, token)", whep, mentee)
        await run(page, "() => clients.screen.until('n.decoded > 15 && n.heard > 0')")

        before = await run(page, "() => clients.screen.numbers()")
        assert await run(page, "() => clients.camera.restart()") == {"status": 200, "other": True}
        assert await run(page, "() => clients.screen.restart()") == {"status": 200, "other": True}
        more = before["decoded"] + 30
        after = await run(page, f"() => clients.screen.until('n.fresh && n.decoded > {more}')")
        await run(page, "() => clients.camera.until('n.fresh')")
        assert after["ufrag"] != before["ufrag"]  # another ICE session, the same media

        assert stage.signaling.counters.presence_written == 1  # nobody left and came back
        assert await run(page, "() => clients.camera.leave()") == 200
        await until(lambda: stage.signaling.counters.presence_written == 2)
        assert await run(page, "() => clients.screen.leave()") == 200
        await close(context)
