// @ts-check
/** One RTCPeerConnection with the SFU: one offer, our two tracks out, a fixed number of receive slots in. */

/** @import { Slot } from "./protocol.js" */

export const SLOTS = 4; // of each kind: as many others as a room can show without a new offer
const VIDEO_BITRATE = 1_500_000; // bits per second; 720p of a talking head needs no more
const PATIENCE = 4000; // a "disconnected" transport often comes back by itself
const ANSWER_WITHIN = 12_000;

/**
 * @typedef {{
 *   offer: (sdp: string) => Promise<string>,
 *   tracks: (byPerson: Map<string, MediaStreamTrack[]>) => void,
 *   state: (state: "connecting"|"connected"|"failed") => void,
 * }} Wiring
 * @typedef {{quality: "good"|"fair"|"poor", rtt: number, loss: number}} Quality
 */

export class Call {
  /** @type {Map<string, MediaStreamTrack>} */ #incoming = new Map(); // by mid
  /** @type {Slot[]} */ #slots = [];
  /** @type {RTCPeerConnection} */ #pc;
  /** @type {RTCRtpTransceiver} */ #audio;
  /** @type {RTCRtpTransceiver} */ #video;
  /** @type {Wiring} */ #wiring;
  /** @type {number|undefined} */ #worry;
  #received = 0;
  #lost = 0;
  #closed = false;

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {MediaStreamTrack|null} audio
   * @param {MediaStreamTrack|null} video
   * @param {Wiring} wiring
   */
  constructor(iceServers, audio, video, wiring) {
    this.#wiring = wiring;
    this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
    this.#audio = this.#pc.addTransceiver(audio ?? "audio", { direction: "sendonly" });
    this.#video = this.#pc.addTransceiver(video ?? "video", {
      direction: "sendonly",
      sendEncodings: [{ maxBitrate: VIDEO_BITRATE }],
    });
    onlyVp8(this.#video, RTCRtpSender.getCapabilities("video"));
    for (let i = 0; i < SLOTS; i++) {
      this.#pc.addTransceiver("audio", { direction: "recvonly" });
      onlyVp8(this.#pc.addTransceiver("video", { direction: "recvonly" }), RTCRtpReceiver.getCapabilities("video"));
    }
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
    await this.#pc.setLocalDescription(await this.#pc.createOffer());
    // No trickling to an ICE-lite SFU: its candidates are in the answer, and it learns ours by our checks.
    const sdp = this.#pc.localDescription?.sdp ?? "";
    const answer = await within(this.#wiring.offer(sdp), ANSWER_WITHIN);
    if (this.#closed) return;
    await this.#pc.setRemoteDescription({ type: "answer", sdp: answer });
    await this.#keepSharp();
  }

  get connected() {
    return this.#pc.connectionState === "connected";
  }

  /** Who is in which slot, as the SFU says. @param {Slot[]} slots */
  show(slots) {
    this.#slots = slots;
    this.#tell();
  }

  /** @param {MediaStreamTrack|null} track */
  async sendAudio(track) {
    if (this.#audio.sender.track !== track) await this.#audio.sender.replaceTrack(track);
  }

  /** @param {MediaStreamTrack|null} track */
  async sendVideo(track) {
    if (this.#video.sender.track === track) return;
    await this.#video.sender.replaceTrack(track);
    await this.#keepSharp();
  }

  /** How the connection is, from the last two looks. @returns {Promise<Quality|null>} */
  async quality() {
    if (!this.connected) return null;
    let rtt = 0, received = 0, lost = 0, lostByUs = 0;
    for (const report of (await this.#pc.getStats()).values()) {
      if (report.type === "candidate-pair" && report.nominated) rtt = report.currentRoundTripTime ?? rtt;
      if (report.type === "inbound-rtp") {
        received += report.packetsReceived ?? 0;
        lost += report.packetsLost ?? 0;
      }
      if (report.type === "remote-inbound-rtp") lostByUs = Math.max(lostByUs, report.fractionLost ?? 0);
    }
    const [more, gone] = [Math.max(0, received - this.#received), Math.max(0, lost - this.#lost)];
    this.#received = received;
    this.#lost = lost;
    const loss = Math.max(lostByUs, more + gone > 0 ? gone / (more + gone) : 0);
    const quality = loss > 0.08 || rtt > 0.6 ? "poor" : loss > 0.02 || rtt > 0.3 ? "fair" : "good";
    return { quality, rtt, loss };
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    window.clearTimeout(this.#worry);
    this.#pc.ontrack = this.#pc.onconnectionstatechange = null;
    for (const track of this.#incoming.values()) track.onmute = track.onunmute = null;
    this.#pc.close();
  }

  #tell() {
    /** @type {Map<string, MediaStreamTrack[]>} */
    const byPerson = new Map();
    for (const slot of this.#slots) {
      const track = slot.user_id === null ? undefined : this.#incoming.get(slot.mid);
      if (slot.user_id === null || track === undefined) continue;
      const tracks = byPerson.get(slot.user_id) ?? [];
      tracks.push(track);
      byPerson.set(slot.user_id, tracks);
    }
    this.#wiring.tracks(byPerson);
  }

  #watch() {
    window.clearTimeout(this.#worry);
    switch (this.#pc.connectionState) {
      case "connected":
        this.#wiring.state("connected");
        break;
      case "disconnected":
        this.#wiring.state("connecting");
        this.#worry = window.setTimeout(() => this.#wiring.state("failed"), PATIENCE);
        break;
      case "failed":
        this.#wiring.state("failed");
        break;
      default:
        break;
    }
  }

  /** Otherwise Chromium starts a single layer at a quarter of its size and takes ten seconds to trust the network. */
  async #keepSharp() {
    const sender = this.#video.sender;
    const parameters = sender.getParameters();
    if (parameters.encodings.length === 0) return;
    // Not in TypeScript's DOM library yet.
    /** @type {RTCRtpSendParameters & {degradationPreference?: string}} */ (parameters).degradationPreference =
      "maintain-resolution";
    await sender.setParameters(parameters);
  }
}

/**
 * The SFU forwards what it gets, so everybody must send what everybody can show.
 * @param {RTCRtpTransceiver} transceiver
 * @param {RTCRtpCapabilities|null} able
 */
function onlyVp8(transceiver, able) {
  const codecs = (able?.codecs ?? []).filter((c) => /^video\/(vp8|rtx)$/i.test(c.mimeType));
  if (codecs.length > 0 && "setCodecPreferences" in transceiver) transceiver.setCodecPreferences(codecs);
}

/** @template T @param {Promise<T>} promise @param {number} milliseconds @returns {Promise<T>} */
function within(promise, milliseconds) {
  return new Promise((resolve, reject) => {
    const timer = window.setTimeout(() => reject(new Error("too late")), milliseconds);
    promise.then(resolve, reject).finally(() => window.clearTimeout(timer));
  });
}
