// @ts-check
/** One tile: a person, or the screen somebody shows, with what is to be said about it. */

import { make } from "../js/dom.js";
import { icon, initials } from "./dom.js";

/**
 * @typedef {{
 *   picture: MediaStreamTrack|null, sound: MediaStreamTrack|null, label: string, note: string,
 *   muted: boolean, paused: boolean, speaking: boolean, state: string,
 * }} Look
 */

export class Tile {
  #face;
  #label = make("span", { class: "tile-name" });
  #note = make("p", { class: "tile-note" });
  #paused = make("p", { class: "tile-paused", "data-testid": "paused-note", role: "status" });
  #muted = make("span", { class: "tile-muted", "data-testid": "muted-badge", role: "img", "aria-label": "Microphone off" }, icon("mic-off"));
  #pick = make("button", { class: "tile-pick", type: "button", "data-testid": "tile-pick" });
  #audio;

  /**
   * @param {{id: string, name: string, hue: string, kind: "person"|"screen", mine: boolean}} of
   * @param {() => void} pick the tile was pressed
   */
  constructor(of, pick) {
    const screen = of.kind === "screen";
    const name = screen ? "tile-screen" : of.mine ? "tile-self" : "tile";
    this.video = make("video", {
      playsinline: "", autoplay: "", "data-testid": screen ? "remote-screen" : of.mine ? "self-video" : "remote-video",
    });
    this.video.muted = true; // sound has an element of its own, so that it goes on without a picture
    this.#audio = of.mine || screen ? null : make("audio", { autoplay: "", "data-testid": "remote-audio" });
    this.#face = make("span", { class: `avatar tile-face ${of.hue}`, "aria-hidden": "true" }, initials(of.name));
    this.root = make("li", { class: `tile${of.mine ? " tile-mine" : ""}${screen ? " tile-screen" : ""}`, "data-testid": name, "data-user": of.id },
      this.video, this.#face, this.#note, this.#paused, make("p", { class: "tile-label" }, this.#muted, this.#label), this.#pick);
    if (this.#audio) this.root.append(this.#audio);
    this.#pick.addEventListener("click", pick);
    this.fit = /** @type {"cover"|"contain"} */ (screen ? "contain" : "cover");
  }

  /** @param {Look} look */
  show(look) {
    play(this.video, look.picture);
    if (this.#audio) play(this.#audio, look.sound);
    this.video.hidden = look.picture === null;
    this.#face.hidden = look.picture !== null || this.fit === "contain";
    say(this.#label, look.label);
    say(this.#note, look.note);
    this.#muted.hidden = !look.muted;
    // Words that are there already when they become visible are not read aloud: they come and go.
    const paused = look.paused && look.picture !== null;
    if (paused !== this.#paused.hasChildNodes()) {
      this.#paused.replaceChildren(...(paused ? ["Video paused: your connection is slow", make("span", {}, "The sound goes on.")] : []));
    }
    this.root.dataset["paused"] = String(paused);
    this.root.dataset["speaking"] = String(look.speaking);
    this.root.dataset["state"] = look.state;
    this.root.classList.toggle("tile-away", look.state === "away");
  }

  /** What pressing the tile does, "" for nothing. @param {string} words */
  offer(words) {
    this.#pick.hidden = words === "";
    this.#pick.setAttribute("aria-label", words);
    this.#pick.title = words;
  }

  /** Where sound comes out. @param {string} id */
  async route(id) {
    if (!this.#audio || !("setSinkId" in this.#audio)) return;
    try {
      await this.#audio.setSinkId(id);
    } catch {
      await this.#audio.setSinkId(""); // it was unplugged: the default one
    }
  }

  remove() {
    play(this.video, null);
    if (this.#audio) play(this.#audio, null);
    this.root.remove();
  }
}

/** @param {HTMLElement} place @param {string} words */
function say(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

/** @param {HTMLMediaElement} element @param {MediaStreamTrack|null} track */
function play(element, track) {
  const stream = element.srcObject instanceof MediaStream ? element.srcObject : null;
  const current = stream?.getTracks()[0] ?? null;
  if (current === track) return;
  element.srcObject = track ? new MediaStream([track]) : null;
  if (track) element.play().catch(() => undefined); // autoplay comes once the person has touched the page
}
