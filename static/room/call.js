// @ts-check
/** One RTCPeerConnection with the SFU: microphone, camera and screen out, receive slots in, ICE restarted when it must. */

import { CAMERA, Picture, SCREEN } from "./sending.js";

/** @import { Slot, Source } from "./protocol.js" */

const GIVE_UP = 8000; // milliseconds for a restarted connection to come up; then a new one is better
const RESTART_AGAIN = 2000; // the network, the browser and the socket may all say that something has changed
const ANSWER_WITHIN = 12_000;

/**
 * What a receive slot shows.
 * @typedef {{mid: string, user: string, source: Source, track: MediaStreamTrack, paused: boolean, undecodable: string|null}} Received
 * @typedef {{
 *   offer: (sdp: string, sources: Record<string, Source>) => Promise<string>,
 *   received: (slots: Received[]) => void,
 *   state: (state: "connecting"|"connected"|"reconnecting"|"failed") => void,
 * }} Wiring
 * @typedef {{audio: MediaStreamTrack|null, camera: MediaStreamTrack|null, screen: MediaStreamTrack|null}} Sent
 */

export class Call {
  /** @type {Map<string, MediaStreamTrack>} */ #incoming = new Map(); // by mid
  /** @type {Slot[]} */ #slots = [];
  /** @type {Set<string>} */ #paused = new Set(); // mids
  /** @type {RTCPeerConnection} */ #pc;
  /** @type {RTCRtpTransceiver} */ #audio;
  /** @type {Picture} */ #camera;
  /** @type {Picture} */ #screen;
  /** @type {Wiring} */ #wiring;
  /** @type {number|undefined} */ #worry;
  #restarted = -Infinity;
  #closed = false;

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {number} others how many people can be shown, each with a camera and a screen, without a new offer
   * @param {Sent} sent
   * @param {Wiring} wiring
   */
  constructor(iceServers, others, sent, wiring) {
    this.#wiring = wiring;
    this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
    this.#audio = this.#pc.addTransceiver(sent.audio ?? "audio", { direction: "sendonly" });
    this.#camera = new Picture(this.#pc, CAMERA, sent.camera);
    // An m-line in reserve: showing one's screen later is a replaceTrack, and nobody has to renegotiate.
    this.#screen = new Picture(this.#pc, SCREEN, sent.screen);
    for (let i = 0; i < others; i++) this.#pc.addTransceiver("audio", { direction: "recvonly" });
    for (let i = 0; i < 2 * others; i++) this.#pc.addTransceiver("video", { direction: "recvonly" });
    this.#pc.ontrack = (event) => {
      const mid = event.transceiver.mid;
      if (mid === null) return;
      this.#incoming.set(mid, event.track);
      event.track.onmute = event.track.onunmute = () => this.#tell();
      this.#tell();
    };
    this.#pc.onconnectionstatechange = () => this.#watch();
  }

  /** Offer and take the answer. Rejects when the SFU refuses or is silent. */
  async start() {
    this.#wiring.state("connecting");
    await this.#negotiate({});
    await Promise.all([this.#camera.tune(), this.#screen.tune()]);
  }

  get connected() {
    return this.#pc.connectionState === "connected";
  }

  /** Whether the SFU knows us: before, there is nothing to ask of it. */
  get answered() {
    return !this.#closed && this.#pc.remoteDescription !== null;
  }

  get closed() {
    return this.#closed;
  }

  /** Who is in which slot, as the SFU says. @param {Slot[]} slots */
  show(slots) {
    this.#slots = slots;
    this.#tell();
  }

  /** The SFU holds the picture of a slot back, or shows it again. @param {string} mid @param {boolean} paused */
  pause(mid, paused) {
    if (paused) this.#paused.add(mid);
    else this.#paused.delete(mid);
    this.#tell();
  }

  /** Which layers of an m-line anybody wants. @param {string} mid @param {string[]} rids */
  layers(mid, rids) {
    for (const picture of [this.#camera, this.#screen]) if (picture.mid === mid) void picture.want(rids);
  }

  /** Send other tracks; those that are the same stay untouched. @param {Sent} sent */
  async send(sent) {
    if (this.#closed) return;
    if (this.#audio.sender.track !== sent.audio) await this.#audio.sender.replaceTrack(sent.audio);
    await Promise.all([this.#camera.send(sent.camera), this.#screen.send(sent.screen)]);
  }

  /**
   * Look for another way for the same media (RFC 8839 section 4.4.1.1.1): the network has changed or fallen silent.
   * DTLS and the SFU's peer stay. Without a socket to offer through, the next welcome is the next try.
   * @param {RTCIceServer[]} [iceServers] new credentials
   */
  async restart(iceServers) {
    const now = performance.now();
    if (this.#closed || this.#pc.signalingState !== "stable" || this.#pc.remoteDescription === null) return;
    if (now - this.#restarted < RESTART_AGAIN) return;
    this.#restarted = now;
    if (iceServers) this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers });
    if (!this.connected) this.#worryFor(GIVE_UP);
    try {
      await this.#negotiate({ iceRestart: true });
    } catch {
      this.#restarted = -Infinity;
      if (!this.#closed && this.#pc.signalingState !== "stable") await this.#pc.setLocalDescription({ type: "rollback" });
    }
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    window.clearTimeout(this.#worry);
    this.#pc.ontrack = this.#pc.onconnectionstatechange = null;
    for (const track of this.#incoming.values()) track.onmute = track.onunmute = null;
    this.#pc.close();
  }

  /** @param {RTCOfferOptions} options */
  async #negotiate(options) {
    await this.#pc.setLocalDescription(await this.#pc.createOffer(options));
    // No trickling to an ICE-lite SFU: its candidates are in the answer, and it learns ours by our checks.
    const sdp = this.#pc.localDescription?.sdp ?? "";
    const answer = await within(this.#wiring.offer(sdp, this.#sources()), ANSWER_WITHIN);
    if (this.#closed) return;
    await this.#pc.setRemoteDescription({ type: "answer", sdp: answer });
  }

  #sources() {
    /** @type {Record<string, Source>} */
    const sources = {};
    if (this.#audio.mid !== null) sources[this.#audio.mid] = "microphone";
    if (this.#camera.mid !== null) sources[this.#camera.mid] = "camera";
    if (this.#screen.mid !== null) sources[this.#screen.mid] = "screen";
    return sources;
  }

  #tell() {
    this.#wiring.received(this.#slots.flatMap(({ mid, kind, user_id: user, source, undecodable = null }) => {
      const track = this.#incoming.get(mid);
      if (user === null || track === undefined) return [];
      return [{ mid, user, source: source ?? (kind === "audio" ? "microphone" : "camera"), track, paused: this.#paused.has(mid), undecodable }];
    }));
  }

  #watch() {
    switch (this.#pc.connectionState) {
      case "connected":
        window.clearTimeout(this.#worry);
        this.#wiring.state("connected");
        break;
      case "disconnected":
      case "failed":
        this.#wiring.state("reconnecting");
        void this.restart();
        break;
      default:
        break;
    }
  }

  /** @param {number} milliseconds */
  #worryFor(milliseconds) {
    window.clearTimeout(this.#worry);
    this.#worry = window.setTimeout(() => {
      if (!this.connected) this.#wiring.state("failed");
    }, milliseconds);
  }
}

/** @template T @param {Promise<T>} promise @param {number} milliseconds @returns {Promise<T>} */
function within(promise, milliseconds) {
  return new Promise((resolve, reject) => {
    const timer = window.setTimeout(() => reject(new Error("too late")), milliseconds);
    promise.then(resolve, reject).finally(() => window.clearTimeout(timer));
  });
}
