// @ts-check
/** Tells the SFU how large each picture is shown, so that a thumbnail costs a thumbnail and a hidden page nothing. */

/**
 * @typedef {{mid: string, root: HTMLElement, video: HTMLVideoElement, fit: "cover"|"contain"}} Shown
 * @typedef {{mid: string, height: number|null}} Wish
 */

const SETTLE = 250; // milliseconds: while a window is dragged nothing is told
const DENSEST = 2; // device pixels per CSS pixel beyond which nobody sees a difference in a moving picture
const SPARING = 0.8; // a layer with so much of the lines looks the same, and the next larger one costs three times as much
const COARSE = 0.1; // a change smaller than this share is not worth telling

export class Wants {
  /** @type {Shown[]} */ #shown = [];
  /** @type {Map<string, number>} */ #told = new Map(); // by mid
  /** @type {Set<Element>} */ #outOfView = new Set();
  /** @type {number|undefined} */ #timer;
  #sizes = new ResizeObserver(() => this.#soon());
  #views = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) this.#outOfView.delete(entry.target);
      else this.#outOfView.add(entry.target);
    }
    this.#soon();
  });

  /** @param {(slots: Wish[]) => boolean} send false if it could not be said */
  constructor(send) {
    this.#send = send;
    document.addEventListener("visibilitychange", () => this.#soon());
  }
  #send;

  /** These pictures are on the page now. @param {Shown[]} shown */
  follow(shown) {
    const [before, after] = [this.#shown, shown].map((list) => new Set(list.map((one) => one.root)));
    for (const root of before ?? []) {
      if (after?.has(root)) continue;
      this.#sizes.unobserve(root);
      this.#views.unobserve(root);
      this.#outOfView.delete(root);
    }
    for (const { root, video } of shown) {
      if (before?.has(root)) continue;
      this.#sizes.observe(root);
      this.#views.observe(root);
      video.addEventListener("resize", () => this.#soon()); // another camera, or a phone turned
    }
    this.#shown = shown;
    this.#soon();
  }

  /** A new connection has been told nothing yet. */
  afresh() {
    this.#told.clear();
    this.#soon();
  }

  /** Say what has changed now. */
  tell() {
    window.clearTimeout(this.#timer);
    const hidden = document.hidden && document.pictureInPictureElement === null;
    /** @type {Wish[]} */
    const wishes = [];
    for (const one of this.#shown) {
      const height = hidden || this.#outOfView.has(one.root) ? 0 : linesFor(one);
      const told = this.#told.get(one.mid);
      if (told !== undefined && (told === height || (told > 0 && height > 0 && Math.abs(height - told) < told * COARSE))) continue;
      wishes.push({ mid: one.mid, height });
    }
    if (wishes.length > 0 && this.#send(wishes)) for (const { mid, height } of wishes) this.#told.set(mid, height ?? 0);
  }

  #soon() {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.tell(), SETTLE);
  }
}

/** How many lines of the source this picture needs. @param {Shown} shown */
function linesFor({ root, video, fit }) {
  const [width, height] = [root.clientWidth, root.clientHeight];
  if (width === 0 || height === 0) return 0;
  const shape = video.videoWidth > 0 ? video.videoHeight / video.videoWidth : 9 / 16;
  const lines = fit === "cover" ? Math.max(height, width * shape) : Math.min(height, width * shape);
  return Math.max(1, Math.round(lines * Math.min(DENSEST, window.devicePixelRatio) * SPARING));
}
