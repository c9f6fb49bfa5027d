// @ts-check
/** The tiles of the people in the room: who is shown how large, muted, or only by their initials. */

import { make } from "../js/dom.js";
import { icon, initials } from "./dom.js";

/** @import { Participant } from "./protocol.js" */

/**
 * @typedef {{
 *   root: HTMLElement, video: HTMLVideoElement, audio: HTMLAudioElement|null, face: HTMLElement,
 *   name: HTMLElement, note: HTMLElement, muted: HTMLElement,
 * }} Tile
 */

export class Grid {
  /** @type {Map<string, Tile>} */ #tiles = new Map();
  /** @type {Map<string, Participant>} */ #people = new Map();
  /** @type {Map<string, MediaStreamTrack[]>} */ #tracks = new Map();
  #speaker = "";

  /**
   * @param {HTMLElement} root
   * @param {string} me user id
   * @param {(id: string) => string} hueOf the class of a person's colour
   */
  constructor(root, me, hueOf) {
    this.#root = root;
    this.#me = me;
    this.#hueOf = hueOf;
  }
  #root;
  #me;
  #hueOf;

  /** Somebody came, changed or went. @param {Participant} person */
  person(person) {
    this.#people.set(person.user_id, person);
    this.#draw();
  }

  /** @param {Participant[]} people */
  everybody(people) {
    this.#people = new Map(people.map((p) => [p.user_id, p]));
    this.#draw();
  }

  /** @param {Map<string, MediaStreamTrack[]>} byPerson */
  tracks(byPerson) {
    for (const [id] of this.#tracks) if (id !== this.#me && !byPerson.has(id)) this.#tracks.delete(id);
    for (const [id, tracks] of byPerson) this.#tracks.set(id, tracks);
    this.#draw();
  }

  /** Our own picture. @param {MediaStreamTrack|null} video */
  self(video) {
    this.#tracks.set(this.#me, video ? [video] : []);
    this.#draw();
  }

  /** Where sound comes out. @param {string} id */
  async speaker(id) {
    this.#speaker = id;
    for (const tile of this.#tiles.values()) if (tile.audio) await route(tile.audio, id);
  }

  clear() {
    for (const tile of this.#tiles.values()) {
      tile.video.srcObject = null;
      if (tile.audio) tile.audio.srcObject = null;
      tile.root.remove();
    }
    this.#tiles.clear();
    this.#people.clear();
    this.#tracks.clear();
  }

  #draw() {
    for (const [id, tile] of this.#tiles) {
      if (this.#people.has(id)) continue;
      tile.root.remove();
      this.#tiles.delete(id);
    }
    // Others first, oneself last: on a phone the other face is the large one.
    const order = [...this.#people.values()].sort((a, b) => Number(a.user_id === this.#me) - Number(b.user_id === this.#me));
    for (const person of order) {
      let tile = this.#tiles.get(person.user_id);
      if (!tile) {
        tile = this.#make(person);
        this.#tiles.set(person.user_id, tile);
        this.#root.append(tile.root);
      }
      this.#fill(tile, person);
    }
    this.#root.dataset["count"] = String(order.length);
    this.#root.dataset["others"] = String(order.filter((p) => p.user_id !== this.#me && p.state !== "away").length);
  }

  /** @param {Participant} person @returns {Tile} */
  #make(person) {
    const mine = person.user_id === this.#me;
    const video = make("video", { playsinline: "", autoplay: "", "data-testid": mine ? "self-video" : "remote-video" });
    video.muted = true; // sound has an element of its own, so that it goes on without a picture
    const audio = mine ? null : make("audio", { autoplay: "", "data-testid": "remote-audio" });
    if (audio && this.#speaker) void route(audio, this.#speaker);
    const face = make("span", { class: `avatar tile-face ${this.#hueOf(person.user_id)}`, "aria-hidden": "true" }, initials(person.name));
    const name = make("span", { class: "tile-name" });
    const muted = make("span", { class: "tile-muted", "data-testid": "muted-badge", role: "img", "aria-label": "Microphone off" }, icon("mic-off"));
    const note = make("p", { class: "tile-note" });
    const root = make("li", { class: mine ? "tile tile-mine" : "tile", "data-testid": mine ? "tile-self" : "tile", "data-user": person.user_id },
      video, face, note, make("p", { class: "tile-label" }, muted, name));
    if (audio) root.append(audio);
    return { root, video, audio, face, name, note, muted };
  }

  /** @param {Tile} tile @param {Participant} person */
  #fill(tile, person) {
    const mine = person.user_id === this.#me;
    const tracks = this.#tracks.get(person.user_id) ?? [];
    const here = mine || person.state !== "away";
    const picture = tracks.find((t) => t.kind === "video" && (mine || (!t.muted && person.video && person.state === "present")));
    const sound = mine ? undefined : tracks.find((t) => t.kind === "audio");
    play(tile.video, picture ?? null);
    if (tile.audio) play(tile.audio, sound ?? null);
    tile.video.hidden = picture === undefined;
    tile.face.hidden = picture !== undefined;
    tile.name.textContent = mine ? "You" : person.name;
    tile.muted.hidden = !here || person.audio;
    tile.note.textContent = here ? (person.state === "connected" && !mine ? "Connecting…" : "") : `${person.name} is not here yet`;
    tile.root.dataset["state"] = person.state;
    tile.root.classList.toggle("tile-away", !here);
  }
}

/** @param {HTMLMediaElement} element @param {MediaStreamTrack|null} track */
function play(element, track) {
  const stream = element.srcObject instanceof MediaStream ? element.srcObject : null;
  const current = stream?.getTracks()[0] ?? null;
  if (current === track) return;
  element.srcObject = track ? new MediaStream([track]) : null;
  if (track) element.play().catch(() => undefined); // autoplay comes once the person has touched the page
}

/** @param {HTMLMediaElement} element @param {string} id */
async function route(element, id) {
  if (!("setSinkId" in element)) return;
  try {
    await element.setSinkId(id);
  } catch {
    await element.setSinkId(""); // it was unplugged: the default one
  }
}
