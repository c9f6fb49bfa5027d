// @ts-check
/** The screen, window or tab that a person shows: chosen in the browser's own dialog, stopped by its button or ours. */

/** Larger screens are scaled: encoding more lines costs more than it shows. */
const LARGEST = { width: { max: 1920 }, height: { max: 1200 } };

export class ScreenShare extends EventTarget {
  /** @type {MediaStreamTrack|null} */ track = null;
  #asking = false;

  static get possible() {
    return typeof navigator.mediaDevices?.getDisplayMedia === "function";
  }

  /**
   * Ask what to show; in place of what is shown now. Resolves when it is shown or the person thought better of it.
   * @returns {Promise<string>} what went wrong, "" if nothing did
   */
  async start() {
    if (this.#asking) return "";
    this.#asking = true;
    /** @type {DisplayMediaStreamOptions & {surfaceSwitching?: string, selfBrowserSurface?: string}} */
    const wish = {
      video: { ...LARGEST, frameRate: { ideal: 15, max: 30 } },
      audio: false,
      surfaceSwitching: "include",
      selfBrowserSurface: "exclude", // a hall of mirrors
    };
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia(wish);
      this.#take(stream.getVideoTracks()[0] ?? null);
      return "";
    } catch (error) {
      const name = error instanceof DOMException ? error.name : "";
      if (name === "NotAllowedError" || name === "AbortError") return ""; // they pressed Cancel
      return name === "NotFoundError" ? "There is nothing here that could be shown." : "Your screen could not be shown. Try again.";
    } finally {
      this.#asking = false;
    }
  }

  stop() {
    this.#take(null);
  }

  /** @param {MediaStreamTrack|null} track */
  #take(track) {
    if (track === this.track) return;
    if (this.track) {
      this.track.onended = null;
      this.track.stop();
    }
    this.track = track;
    if (track) {
      track.contentHint = "detail";
      track.onended = () => this.#take(null); // the browser's own "Stop sharing", or the window was closed
    }
    this.dispatchEvent(new Event("change"));
  }
}
