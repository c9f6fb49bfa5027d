// @ts-check
/** The tiles of the room: who and whose screen is shown, and which of them is the large one. */

import { Tile } from "./tile.js";

/** @import { Received } from "./call.js" */
/** @import { Participant } from "./protocol.js" */
/** @import { Shown } from "./wants.js" */

/**
 * How the tiles share the stage: `pair` one large and one in its corner, `stage` one large beside a strip of the others,
 * `grid` all alike.
 * @typedef {{mode: "pair"|"stage"|"grid", large: string|null}} Layout
 */

/**
 * @param {string[]} people keys, oneself last
 * @param {string[]} screens keys, the latest last
 * @param {string|null} picked what the person chose to see large
 * @returns {Layout}
 */
export function arrange(people, screens, picked) {
  const all = [...people, ...screens];
  const chosen = picked !== null && all.includes(picked) ? picked : null;
  const large = chosen ?? screens.at(-1) ?? (people.length === 2 ? people[0] : undefined) ?? null;
  if (large === null || all.length === 1) return { mode: "grid", large: null };
  return { mode: all.length === 2 && screens.length === 0 ? "pair" : "stage", large };
}

const SCREEN = "/screen"; // what the key of a screen's tile has after its owner's id

export class Grid {
  /** @type {Map<string, Tile>} */ #tiles = new Map(); // by user id, or that and SCREEN
  /** @type {Map<string, Participant>} */ #people = new Map();
  /** @type {Received[]} */ #received = [];
  /** @type {string[]} */ #screens = []; // keys, in the order they were shown
  /** @type {MediaStreamTrack|null} */ #own = null;
  /** @type {string|null} */ #picked = null;
  /** @type {string|null} */ #talking = null;
  #speaker = "";

  /**
   * @param {HTMLElement} root
   * @param {string} me user id
   * @param {(id: string) => string} hueOf the class of a person's colour
   * @param {(shown: Shown[]) => void} pictures which received pictures are on the page now
   */
  constructor(root, me, hueOf, pictures) {
    this.#root = root;
    this.#me = me;
    this.#hueOf = hueOf;
    this.#pictures = pictures;
  }
  #root;
  #me;
  #hueOf;
  #pictures;

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

  /** What the SFU sends us, slot by slot. @param {Received[]} received */
  received(received) {
    this.#received = received;
    this.#draw();
  }

  /** Our own picture. @param {MediaStreamTrack|null} video */
  self(video) {
    this.#own = video;
    this.#draw();
  }

  /** Who speaks now. @param {string|null} id */
  talking(id) {
    this.#talking = id;
    this.#draw();
  }

  /** Where sound comes out. @param {string} id */
  async speaker(id) {
    this.#speaker = id;
    for (const tile of this.#tiles.values()) await tile.route(id);
  }

  clear() {
    for (const tile of this.#tiles.values()) tile.remove();
    this.#tiles.clear();
    this.#people.clear();
    this.#received = [];
    this.#screens = [];
    this.#own = this.#picked = this.#talking = null;
    this.#pictures([]);
  }

  #draw() {
    // Others first, oneself last: where there is one large face, it is somebody else's.
    const people = [...this.#people.values()].sort((a, b) => Number(a.user_id === this.#me) - Number(b.user_id === this.#me));
    const showing = people.filter((p) => p.user_id !== this.#me && p.screen && p.state === "present").map((p) => p.user_id + SCREEN);
    this.#screens = [...this.#screens.filter((key) => showing.includes(key)), ...showing.filter((key) => !this.#screens.includes(key))];
    const keys = [...people.map((p) => p.user_id), ...this.#screens];
    if (this.#picked !== null && !keys.includes(this.#picked)) this.#picked = null;
    for (const [key, tile] of this.#tiles) {
      if (keys.includes(key)) continue;
      tile.remove();
      this.#tiles.delete(key);
    }
    for (const person of people) this.#person(person);
    for (const key of this.#screens) this.#screen(key);
    const layout = arrange(people.map((p) => p.user_id), this.#screens, this.#picked);
    this.#root.dataset["layout"] = layout.mode;
    this.#root.dataset["count"] = String(keys.length);
    this.#root.dataset["others"] = String(people.filter((p) => p.user_id !== this.#me && p.state !== "away").length);
    for (const [key, tile] of this.#tiles) {
      tile.root.classList.toggle("tile-large", key === layout.large);
      tile.offer(this.#offer(key, layout));
    }
    this.#pictures(this.#received.flatMap(({ mid, user, source }) => {
      const tile = source === "microphone" ? undefined : this.#tiles.get(source === "screen" ? user + SCREEN : user);
      return tile ? [{ mid, root: tile.root, video: tile.video, fit: tile.fit }] : [];
    }));
  }

  /** @param {string} key @param {Layout} layout */
  #offer(key, layout) {
    if (key === layout.large) return this.#picked === key && layout.mode === "stage" ? "Back to the usual view" : "";
    if (this.#people.size < 2) return "";
    const name = this.#people.get(key.replace(SCREEN, ""))?.name ?? "";
    return key.endsWith(SCREEN) ? `Show ${name}’s screen large` : `Show ${key === this.#me ? "yourself" : name} large`;
  }

  /** Another press on what is large already brings the usual view back. @param {string} key */
  #pick(key) {
    this.#picked = this.#picked === key ? null : key;
    this.#draw();
  }

  /** @param {string} key @param {Participant} person @param {"person"|"screen"} kind */
  #tile(key, person, kind) {
    let tile = this.#tiles.get(key);
    if (!tile) {
      const mine = person.user_id === this.#me;
      tile = new Tile({ id: person.user_id, name: person.name, hue: this.#hueOf(person.user_id), kind, mine }, () => this.#pick(key));
      this.#tiles.set(key, tile);
      this.#root.append(tile.root);
      if (this.#speaker) void tile.route(this.#speaker);
    }
    return tile;
  }

  /** @param {Participant} person */
  #person(person) {
    const mine = person.user_id === this.#me;
    const here = mine || person.state !== "away";
    const of = this.#received.filter((r) => r.user === person.user_id);
    const camera = of.find((r) => r.source === "camera");
    const picture = mine ? this.#own
      : camera && !camera.track.muted && person.video && person.state === "present" ? camera.track : null;
    this.#tile(person.user_id, person, "person").show({
      picture,
      sound: of.find((r) => r.source === "microphone")?.track ?? null,
      label: mine ? "You" : person.name,
      note: camera?.undecodable && person.video ? `This browser cannot show ${person.name}’s video (${camera.undecodable})`
        : here ? (person.state === "connected" && !mine ? "Connecting…" : "") : `${person.name} is not here yet`,
      muted: here && !person.audio,
      paused: camera?.paused ?? false,
      speaking: this.#talking === person.user_id && here,
      state: mine ? "present" : person.state,
    });
  }

  /** @param {string} key */
  #screen(key) {
    const person = this.#people.get(key.replace(SCREEN, ""));
    if (!person) return;
    const slot = this.#received.find((r) => r.user === person.user_id && r.source === "screen");
    const picture = slot && !slot.track.muted ? slot.track : null;
    this.#tile(key, person, "screen").show({
      picture,
      sound: null,
      label: `${person.name}’s screen`,
      note: picture ? "" : `${person.name} is sharing the screen…`,
      muted: false,
      paused: slot?.paused ?? false,
      speaking: false,
      state: person.state,
    });
  }
}
