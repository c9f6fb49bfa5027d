// @ts-check
/** Whom we have written to because the session has begun without them, told to whoever waits. */

import { clock, readerZone, zoneName } from "../js/dom.js";

/** @import { Missed, Participant } from "./protocol.js" */

export class Missing {
  #place;
  #here = /** @type {Set<string>} */ (new Set());
  #people = /** @type {Missed[]} */ ([]);

  /** @param {HTMLElement} place */
  constructor(place) {
    this.#place = place;
  }

  /** @param {Participant[]} people */
  everybody(people) {
    this.#here = new Set(people.filter((person) => person.state === "present").map((person) => person.user_id));
    this.#people = [];
    this.#show();
  }

  /** @param {Participant} person */
  person(person) {
    if (person.state === "present") this.#here.add(person.user_id);
    else this.#here.delete(person.user_id);
    this.#show();
  }

  /** @param {Missed[]} people */
  nudged(people) {
    this.#people = people;
    this.#show();
  }

  #show() {
    const absent = this.#people.filter((person) => !this.#here.has(person.user_id));
    const words = absent.map((person) => `${person.name} at ${clock(person.at, readerZone())} (${zoneName(person.at, readerZone())})`);
    const text = words.length ? `We have written to ${words.join(", ")}.` : "";
    this.#place.hidden = text === "";
    if (this.#place.textContent !== text) this.#place.textContent = text;
  }
}
