// @ts-check
/** How loud a track is, many times a second, from 0 to 1. */

const FLOOR = -60; // dBFS shown as nothing
const CEILING = -10; // dBFS shown as full

export class LevelMeter {
  /** @type {AudioContext|null} */ #context = null;
  /** @type {MediaStreamAudioSourceNode|null} */ #source = null;
  /** @type {MediaStreamTrack|null} */ #track = null;
  #frame = 0;

  /** @param {(level: number) => void} show */
  constructor(show) {
    this.#show = show;
  }
  #show;

  /** Listen to `track`, or to nothing. @param {MediaStreamTrack|null} track */
  follow(track) {
    if (track === this.#track) return;
    this.#track = track;
    this.#source?.disconnect();
    this.#source = null;
    cancelAnimationFrame(this.#frame);
    this.#show(0);
    if (!track) return;
    this.#context ??= new AudioContext();
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    const draw = () => {
      this.#frame = requestAnimationFrame(draw);
      // A context made before the person touched the page sleeps until they do.
      if (this.#context?.state === "suspended") void this.#context.resume();
      analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const s of samples) sum += s * s;
      const decibels = 10 * Math.log10(sum / samples.length + 1e-12);
      const level = Math.min(1, Math.max(0, (decibels - FLOOR) / (CEILING - FLOOR)));
      shown = level > shown ? level : shown * 0.9 + level * 0.1; // up at once, down gently
      this.#show(shown);
    };
    draw();
  }

  stop() {
    this.follow(null);
    void this.#context?.close();
    this.#context = null;
  }
}
