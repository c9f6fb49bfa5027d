// @ts-check
/** How a picture is sent: its simulcast layers, how much each may cost, and which of them anybody wants. */

/**
 * From best to least: of a small capture the browser keeps only the first rids.
 * @typedef {{rid: string, by: number, fps: number}} Layer
 * @typedef {{layers: Layer[], most: number, least: number, power: number, hint: string}} Shape
 *   `most` bits per second for 1280x720, less for smaller pictures and never below `least`
 */

const HD = 1280 * 720;

/** @type {Shape} */
export const CAMERA = {
  layers: [{ rid: "f", by: 1, fps: 30 }, { rid: "h", by: 2, fps: 30 }, { rid: "q", by: 4, fps: 20 }],
  most: 1_700_000, // a talking head at 720p needs no more
  least: 100_000,
  power: 0.75, // half the lines need more than a quarter of the bits
  hint: "motion",
};

/** Text must be sharp rather than smooth; the small layer is for phones and narrow lines. @type {Shape} */
export const SCREEN = {
  layers: [{ rid: "f", by: 1, fps: 15 }, { rid: "h", by: 2, fps: 10 }],
  most: 1_500_000,
  least: 200_000,
  power: 0.75,
  hint: "detail",
};

const CEILING = 2_800_000; // bits per second, whatever the size

/**
 * What one layer of a capture may cost.
 * @param {Shape} shape @param {Layer} layer @param {number} pixels of the whole capture; 0 when not known yet
 */
export function bitrateOf(shape, layer, pixels) {
  const share = (pixels > 0 ? pixels : HD) / (layer.by * layer.by) / HD;
  return Math.round(Math.min(CEILING, Math.max(shape.least, shape.most * share ** shape.power)));
}

export class Picture {
  #transceiver;
  #shape;
  /** @type {readonly string[]|null} */ #wanted = null; // rids that somebody wants; null until the server has told
  /** @type {Promise<void>} */ #tuned = Promise.resolve();

  /** @param {RTCPeerConnection} connection @param {Shape} shape @param {MediaStreamTrack|null} track */
  constructor(connection, shape, track) {
    this.#shape = shape;
    this.#transceiver = connection.addTransceiver(track ?? "video", {
      direction: "sendonly",
      sendEncodings: shape.layers.map((layer) => ({
        rid: layer.rid,
        scaleResolutionDownBy: layer.by,
        maxBitrate: bitrateOf(shape, layer, pixelsOf(track)),
        maxFramerate: layer.fps,
      })),
    });
    onlyVp8(this.#transceiver);
  }

  get mid() {
    return this.#transceiver.mid;
  }

  /** Send another track, or none; nobody needs to renegotiate. @param {MediaStreamTrack|null} track */
  async send(track) {
    if (this.#transceiver.sender.track === track) return;
    if (track) track.contentHint = this.#shape.hint;
    await this.#transceiver.sender.replaceTrack(track);
    await this.tune();
  }

  /** Encode only what somebody wants. @param {readonly string[]} rids */
  want(rids) {
    this.#wanted = rids;
    return this.tune();
  }

  /** One change of the parameters after the other: each begins with what the one before has left. */
  tune() {
    this.#tuned = this.#tuned.then(() => this.#tune()).catch((error) => {
      // Before the first answer, or after the end of the connection: neither has parameters to set.
      if (!(error instanceof DOMException && error.name === "InvalidStateError")) throw error;
    });
    return this.#tuned;
  }

  async #tune() {
    const sender = this.#transceiver.sender;
    const parameters = sender.getParameters();
    if (parameters.encodings.length === 0) return;
    const pixels = pixelsOf(sender.track);
    for (const encoding of parameters.encodings) {
      const layer = this.#shape.layers.find((one) => one.rid === encoding.rid);
      if (layer) encoding.maxBitrate = bitrateOf(this.#shape, layer, pixels);
      // A browser that does no simulcast sends one encoding without a rid: on while anything is wanted.
      encoding.active = this.#wanted === null || (encoding.rid ? this.#wanted.includes(encoding.rid) : this.#wanted.length > 0);
    }
    // The layers are what adapts to the network. Otherwise a single one that is left begins at a quarter of its size,
    // and takes ten seconds to grow. Not in TypeScript's DOM library yet.
    /** @type {RTCRtpSendParameters & {degradationPreference?: string}} */ (parameters).degradationPreference =
      "maintain-resolution";
    await sender.setParameters(parameters);
  }
}

/** @param {MediaStreamTrack|null} track */
function pixelsOf(track) {
  const { width = 0, height = 0 } = track?.getSettings() ?? {};
  return width * height;
}

/**
 * The SFU forwards what it gets, so everybody must send what everybody can show.
 * @param {RTCRtpTransceiver} transceiver
 */
function onlyVp8(transceiver) {
  const able = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
  const codecs = able.filter((c) => /^video\/(vp8|rtx)$/i.test(c.mimeType));
  if (codecs.length > 0 && "setCodecPreferences" in transceiver) transceiver.setCodecPreferences(codecs);
}
