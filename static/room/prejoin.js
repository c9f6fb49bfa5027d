// @ts-check
/** Before the room: look at oneself, choose devices, see who is there, and wait for the door to open. */

import { call } from "../js/api.js";
import { find, make, need, serverNow } from "../js/dom.js";
import { spoken } from "../js/countdown.js";
import { choosers, help } from "./devices.js";
import { LevelMeter } from "./level.js";

/** @import { LocalMedia } from "./media.js" */

const LOOK_EVERY = 5000;

export class PreJoin {
  #meter;
  #timers = /** @type {number[]} */ ([]);

  /**
   * @param {HTMLElement} root
   * @param {{id: string, me: string, opens: number, closes: number, start: number, people: Map<string, string>}} session
   *   times in milliseconds
   * @param {LocalMedia} media
   * @param {() => void} join
   */
  constructor(root, session, media, join) {
    this.#root = root;
    this.#session = session;
    this.#media = media;
    this.#join = need("[data-testid=join]", HTMLButtonElement, root);
    const bar = need("[data-testid=level-meter]", HTMLElement, root);
    this.#meter = new LevelMeter((level) => {
      bar.style.setProperty("--level", level.toFixed(3));
      bar.setAttribute("aria-valuenow", String(Math.round(level * 100)));
    });
    this.#join.addEventListener("click", join);
    need("[data-testid=prejoin-mute]", HTMLButtonElement, root).addEventListener("click", () => void media.setAudio(!media.wishes.audio));
    need("[data-testid=prejoin-camera]", HTMLButtonElement, root).addEventListener("click", () => void media.setVideo(!media.wishes.video));
    need("[data-retry-devices]", HTMLButtonElement, root).addEventListener("click", () => void media.start());
    choosers(root, media);
    media.addEventListener("change", this.#draw);
    this.#draw();
    this.#tick();
    void this.#look();
    this.#timers.push(window.setInterval(() => this.#tick(), 1000));
    this.#timers.push(window.setInterval(() => void this.#look(), LOOK_EVERY));
  }
  #root;
  #session;
  #media;
  #join;

  /** @param {boolean} busy */
  busy(busy) {
    this.#join.setAttribute("aria-busy", String(busy));
  }

  /** @param {string} words */
  say(words) {
    need("[data-prejoin-error]", HTMLElement, this.#root).textContent = words;
  }

  close() {
    for (const timer of this.#timers) window.clearInterval(timer);
    this.#media.removeEventListener("change", this.#draw);
    this.#meter.stop();
    const video = find("video", HTMLVideoElement, this.#root);
    if (video) video.srcObject = null;
    this.#root.hidden = true;
  }

  #draw = () => {
    const media = this.#media, root = this.#root;
    const video = need("video", HTMLVideoElement, root);
    const shown = video.srcObject instanceof MediaStream ? video.srcObject.getTracks()[0] : undefined;
    if (shown !== (media.video ?? undefined)) video.srcObject = media.video ? new MediaStream([media.video]) : null;
    video.hidden = media.video === null;
    need("[data-preview-face]", HTMLElement, root).hidden = media.video !== null;
    need("[data-preview-note]", HTMLElement, root).textContent =
      media.video ? "" : media.videoState === "ok" ? (media.wishes.video ? "Starting your camera…" : "Your camera is off") : "No picture";
    this.#meter.follow(media.audio && media.wishes.audio ? media.audio : null);
    pressed(need("[data-testid=prejoin-mute]", HTMLButtonElement, root), media.audible, "microphone");
    pressed(need("[data-testid=prejoin-camera]", HTMLButtonElement, root), media.visible, "camera");
    const words = help(media);
    need("[data-device-help]", HTMLElement, root).hidden = words === "";
    need("[data-device-words]", HTMLElement, root).textContent = words;
  };

  #tick() {
    const now = serverNow();
    const { opens, closes, start } = this.#session;
    const early = now < opens, late = now >= closes;
    this.#join.disabled = early || late;
    const words = early ? `The room opens in ${spoken(opens - now)}. You can check your camera meanwhile.`
      : late ? "This session is over."
      : now < start ? `Starts in ${spoken(start - now)}.` : "The session is under way.";
    const place = need("[data-testid=countdown]", HTMLElement, this.#root);
    if (place.textContent !== words) place.textContent = words;
  }

  /** Who is in the room already, as the media server sees it. */
  async #look() {
    if (document.hidden) return;
    /** @type {{items: {user_id: string, first_joined_at: string|null, last_left_at: string|null}[]}} */
    let seen;
    try {
      seen = await call("GET", `/sessions/${this.#session.id}/attendance`);
    } catch {
      return; // the next look may succeed; joining does not depend on it
    }
    const here = seen.items.filter((p) => p.first_joined_at !== null && p.last_left_at === null && p.user_id !== this.#session.me);
    const names = here.map((p) => this.#session.people.get(p.user_id) ?? "Somebody");
    const others = [...this.#session.people].filter(([id]) => id !== this.#session.me).map(([, name]) => name);
    const words = names.length > 0 ? `${names.join(" and ")} is in the room` : `${others.join(" and ")} is not here yet`;
    const place = need("[data-testid=who-is-there]", HTMLElement, this.#root);
    place.dataset["here"] = String(names.length);
    if (place.textContent !== words) place.replaceChildren(make("span", { class: "presence-dot", "aria-hidden": "true" }), words);
  }
}

/**
 * A toggle that says what it is and what pressing it does.
 * @param {HTMLButtonElement} button @param {boolean} on @param {"microphone"|"camera"} what @param {string} [key]
 */
export function pressed(button, on, what, key) {
  button.setAttribute("aria-pressed", String(on));
  const words = `Turn ${what} ${on ? "off" : "on"}`;
  button.setAttribute("aria-label", words);
  button.title = key ? `${words} (${key})` : words;
}
