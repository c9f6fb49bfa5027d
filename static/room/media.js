// @ts-check
/** The person's own camera and microphone: choosing, remembering, switching on and off, and what can go wrong. */

/**
 * @typedef {"ok"|"denied"|"missing"|"busy"|"insecure"|"failed"} DeviceState
 * @typedef {{audio: boolean, video: boolean, microphone: string, camera: string, speaker: string}} Wishes
 */

const KEY = "visavis.room.devices";
/** @type {Wishes} */
const DEFAULTS = { audio: true, video: true, microphone: "", camera: "", speaker: "" };

/** @returns {Wishes} what the person chose last time on this device */
export function recall() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...DEFAULTS }; // storage is closed to us, or holds something else
  }
}

/** @param {Wishes} wishes */
function remember(wishes) {
  try {
    localStorage.setItem(KEY, JSON.stringify(wishes));
  } catch {
    return; // private windows: then it is not remembered
  }
}

/** @param {unknown} error @returns {DeviceState} */
export function nameOf(error) {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "failed";
  }
}

export class LocalMedia extends EventTarget {
  wishes = recall();
  /** @type {MediaStreamTrack|null} */ audio = null;
  /** @type {MediaStreamTrack|null} */ video = null;
  /** @type {DeviceState} */ audioState = "ok";
  /** @type {DeviceState} */ videoState = "ok";
  /** @type {MediaDeviceInfo[]} */ devices = [];
  /** @type {AudioContext|null} */ #context = null;
  /** @type {MediaStreamTrack|null} */ #silence = null;

  constructor() {
    super();
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.#plugged());
    void watchPermissions(() => void this.#allowed());
  }

  /** Ask for what is wished; afterwards `audio`, `video` and the states tell what came of it. */
  async start() {
    if (!navigator.mediaDevices) {
      this.audioState = this.videoState = "insecure";
      this.#changed();
      return;
    }
    // One question to the person where possible; if one device fails, each is asked for by itself.
    if (this.wishes.audio && this.wishes.video) {
      try {
        const stream = await open({ audio: this.#audioWish(), video: this.#videoWish() });
        this.#takeAudio(stream.getAudioTracks()[0] ?? null);
        this.#takeVideo(stream.getVideoTracks()[0] ?? null);
        await this.#list();
        return;
      } catch {
        this.#changed();
      }
    }
    await this.#openAudio();
    if (this.wishes.video) await this.#openVideo();
    await this.#list();
  }

  /** Whether others can hear this person. */
  get audible() {
    return this.audio !== null && this.audio.enabled;
  }

  /** Be heard for as long as a key is held, without changing what is wished. @param {boolean} on */
  talk(on) {
    if (this.wishes.audio || this.audio === null) return;
    this.audio.enabled = on;
    this.#changed();
  }

  get visible() {
    return this.video !== null;
  }

  /** A muted microphone stays open, so that RTP keeps flowing and unmuting is instant. @param {boolean} on */
  async setAudio(on) {
    this.#wish({ audio: on });
    if (on && this.audio === null) await this.#openAudio();
    if (this.audio) this.audio.enabled = on;
    this.#changed();
  }

  /** A camera that is off is really off: its light goes out. @param {boolean} on */
  async setVideo(on) {
    this.#wish({ video: on });
    if (on) await this.#openVideo();
    else this.#takeVideo(null);
  }

  /** @param {"microphone"|"camera"|"speaker"} kind @param {string} id */
  async choose(kind, id) {
    this.#wish({ [kind]: id });
    if (kind === "microphone") await this.#openAudio();
    else if (kind === "camera" && this.wishes.video) await this.#openVideo();
    else this.#changed();
  }

  /** The microphone, or silence when there is none: the SFU sees presence by the packets that flow. */
  sendableAudio() {
    if (this.audio) return this.audio;
    if (this.#silence === null) {
      this.#context = new AudioContext();
      const out = this.#context.createMediaStreamDestination();
      const source = this.#context.createConstantSource();
      const gain = this.#context.createGain();
      gain.gain.value = 0;
      source.connect(gain).connect(out);
      source.start();
      this.#silence = out.stream.getAudioTracks()[0] ?? null;
      void this.#context.resume();
    }
    return this.#silence;
  }

  /** Let every device go. */
  stop() {
    this.audio?.stop();
    this.video?.stop();
    this.#silence?.stop();
    void this.#context?.close();
    this.audio = this.video = this.#silence = this.#context = null;
    this.#changed();
  }

  #audioWish() {
    const id = this.wishes.microphone;
    return { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...(id ? { deviceId: { exact: id } } : {}) };
  }

  #videoWish() {
    const id = this.wishes.camera;
    return {
      width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 },
      ...(id ? { deviceId: { exact: id } } : { facingMode: "user" }),
    };
  }

  async #openAudio() {
    try {
      const stream = await open({ audio: this.#audioWish() });
      this.#takeAudio(stream.getAudioTracks()[0] ?? null);
    } catch (error) {
      this.audioState = navigator.mediaDevices ? nameOf(error) : "insecure";
      this.#changed();
    }
  }

  async #openVideo() {
    try {
      // Some cameras open only once: the old track goes first.
      this.video?.stop();
      const stream = await open({ video: this.#videoWish() });
      const track = stream.getVideoTracks()[0] ?? null;
      if (!this.wishes.video) track?.stop(); // switched off again while the camera woke up
      else this.#takeVideo(track);
    } catch (error) {
      this.video = null;
      this.videoState = navigator.mediaDevices ? nameOf(error) : "insecure";
      this.#changed();
    }
  }

  /** @param {MediaStreamTrack|null} track */
  #takeAudio(track) {
    if (this.audio !== track) this.audio?.stop();
    this.audio = track;
    this.audioState = track ? "ok" : "missing";
    if (track) {
      track.contentHint = "speech";
      track.enabled = this.wishes.audio;
      track.onended = () => void this.#lostAudio(track);
    }
    this.#changed();
  }

  /** @param {MediaStreamTrack|null} track */
  #takeVideo(track) {
    if (this.video !== track) this.video?.stop();
    this.video = track;
    this.videoState = "ok";
    if (track) {
      track.contentHint = "motion";
      track.onended = () => void this.#lostVideo(track);
    }
    this.#changed();
  }

  /** Unplugged, or no longer allowed: go on with another microphone if there is one. @param {MediaStreamTrack} track */
  async #lostAudio(track) {
    if (this.audio !== track) return;
    this.audio = null;
    this.audioState = "missing";
    this.#changed();
    await this.#list();
    if (this.devices.some((d) => d.kind === "audioinput")) await this.#openAudio();
    this.#notice(track, this.audio, "microphone");
  }

  /** @param {MediaStreamTrack} track */
  async #lostVideo(track) {
    if (this.video !== track) return;
    this.video = null;
    this.videoState = "missing";
    this.#changed();
    await this.#list();
    if (this.wishes.video && this.devices.some((d) => d.kind === "videoinput")) await this.#openVideo();
    this.#notice(track, this.video, "camera");
  }

  /** @param {MediaStreamTrack} old @param {MediaStreamTrack|null} other @param {string} what */
  #notice(old, other, what) {
    if (!other) return; // then the help beside the tiles says it
    const words = `Your ${what} ${old.label ? `“${old.label}” ` : ""}is gone. ${other.label ? `Using “${other.label}” now.` : "Using another one now."}`;
    this.dispatchEvent(new CustomEvent("notice", { detail: words }));
  }

  /** Something was plugged in or out. What was missed may be here now. */
  async #plugged() {
    await this.#list();
    const here = (/** @type {MediaDeviceKind} */ kind) => this.devices.some((d) => d.kind === kind);
    if (this.audioState === "missing" && here("audioinput")) await this.#openAudio();
    if (this.videoState === "missing" && this.wishes.video && here("videoinput")) await this.#openVideo();
  }

  /** The person has allowed in the browser's settings what it refused before. */
  async #allowed() {
    if (this.audioState === "denied") await this.#openAudio();
    if (this.videoState === "denied" && this.wishes.video) await this.#openVideo();
    await this.#list();
  }

  async #list() {
    this.devices = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.deviceId !== "");
    this.#changed();
  }

  /** @param {Partial<Wishes>} some */
  #wish(some) {
    this.wishes = { ...this.wishes, ...some };
    remember(this.wishes);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * The chosen devices, or any where they are gone. An "ideal" device would do both at once, but Chromium weighs it against
 * sizes and rates, and may take another camera although the chosen one is there.
 * @param {{audio?: MediaTrackConstraints, video?: MediaTrackConstraints}} wish
 */
async function open(wish) {
  try {
    return await navigator.mediaDevices.getUserMedia(wish);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "OverconstrainedError") throw error;
    const any = Object.entries(wish).map(([kind, { deviceId: _, ...rest }]) => [kind, rest]);
    return navigator.mediaDevices.getUserMedia(Object.fromEntries(any));
  }
}

/** Browsers that do not tell are asked again by the person, with the button beside the help. @param {() => void} granted */
async function watchPermissions(granted) {
  for (const name of ["camera", "microphone"]) {
    try {
      const status = await navigator.permissions.query({ name: /** @type {PermissionName} */ (name) });
      status.onchange = () => {
        if (status.state === "granted") granted();
      };
    } catch {
      return; // this browser does not know the name
    }
  }
}
