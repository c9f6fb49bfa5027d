// @ts-check
/** The side panel's chat: lines in order, our own as "sending" until the server has stored them, history above. */

import { clock, make, readerZone } from "../js/dom.js";
import { freshId, MAX_TEXT } from "./protocol.js";

/** @import { ChatLine } from "./protocol.js" */

const STORED_WITHIN = 10_000; // milliseconds until a line without an echo is called failed

/** @typedef {{item: HTMLLIElement, text: string, timer: number|undefined, failed: boolean}} Pending */

export class Chat {
  /** @type {Map<number, HTMLLIElement>} */ #lines = new Map(); // by seq
  /** @type {Map<string, Pending>} */ #pending = new Map(); // by client_id
  #asked = false;
  #more = false;
  #unread = 0;
  #open = true;

  /**
   * @param {{list: HTMLOListElement, scroller: HTMLElement, empty: HTMLElement, older: HTMLButtonElement,
   *   form: HTMLFormElement, input: HTMLTextAreaElement, count: HTMLElement, badge: HTMLElement}} parts
   * @param {string} me user id
   * @param {{send: (clientId: string, text: string) => boolean, older: (before: number) => boolean}} wire
   */
  constructor(parts, me, wire) {
    this.#parts = parts;
    this.#me = me;
    this.#wire = wire;
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    parts.input.addEventListener("keydown", (event) => {
      // Enter sends, Shift+Enter breaks the line; not while an input method is composing.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#say();
    });
    parts.input.addEventListener("input", () => this.#measure());
    parts.older.addEventListener("click", () => this.#askOlder());
    parts.scroller.addEventListener("scroll", () => {
      if (parts.scroller.scrollTop < 40) this.#askOlder();
      if (this.#atEnd()) this.#read();
    });
  }
  #parts;
  #me;
  #wire;

  /** The panel was opened or closed. @param {boolean} open */
  opened(open) {
    this.#open = open;
    if (!open) return;
    this.#read();
    this.#toEnd();
  }

  /** What the welcome brought; after a reconnect it fills the gap. @param {ChatLine[]} lines @param {boolean} more */
  welcome(lines, more) {
    const first = this.#lines.size === 0;
    for (const line of lines) this.#put(line, !first);
    if (first) this.#more = more;
    this.#draw();
    if (first) this.#toEnd();
    // What was on its way when the socket broke: sent again under the same id, which stores it once.
    for (const [id, pending] of this.#pending) if (!pending.failed) this.#send(id, pending);
  }

  /** @param {ChatLine} line */
  said(line) {
    const follow = this.#atEnd();
    this.#put(line, line.user_id !== this.#me);
    this.#draw();
    if (follow || line.user_id === this.#me) this.#toEnd();
  }

  /** @param {ChatLine[]} lines @param {boolean} more */
  history(lines, more) {
    this.#asked = false;
    this.#more = more;
    const { scroller } = this.#parts;
    const fromEnd = scroller.scrollHeight - scroller.scrollTop;
    for (const line of lines) this.#put(line, false);
    this.#draw();
    scroller.scrollTop = scroller.scrollHeight - fromEnd; // the line being read stays where it is
  }

  /** The server refused a line of ours. @param {string} clientId @param {string} why @returns {boolean} whether it was one */
  refused(clientId, why) {
    const pending = this.#pending.get(clientId);
    if (pending) this.#fail(clientId, pending, why);
    return pending !== undefined;
  }

  #say() {
    const { input } = this.#parts;
    const text = input.value.trim();
    if (!text || text.length > MAX_TEXT) return;
    const id = freshId();
    const item = this.#item(this.#me, "You", text, new Date().toISOString());
    const pending = { item, text, timer: undefined, failed: false };
    this.#pending.set(id, pending);
    this.#send(id, pending);
    input.value = "";
    this.#measure();
    this.#draw();
    this.#toEnd();
    input.focus();
  }

  /** @param {string} id @param {Pending} pending */
  #send(id, pending) {
    pending.failed = false;
    pending.item.dataset["state"] = "sending";
    this.#note(pending.item, "Sending…");
    window.clearTimeout(pending.timer);
    pending.timer = window.setTimeout(() => this.#fail(id, pending, "Not sent."), STORED_WITHIN);
    this.#wire.send(id, pending.text); // without a socket it goes out with the next welcome
  }

  /** @param {string} id @param {Pending} pending @param {string} why */
  #fail(id, pending, why) {
    window.clearTimeout(pending.timer);
    pending.failed = true;
    pending.item.dataset["state"] = "failed";
    const retry = make("button", { type: "button", class: "chat-retry", "data-testid": "chat-retry" }, "Try again");
    retry.addEventListener("click", () => this.#send(id, pending));
    this.#note(pending.item, `${why} `, retry);
  }

  /** @param {ChatLine} line @param {boolean} news */
  #put(line, news) {
    const pending = line.user_id === this.#me ? this.#pending.get(line.client_id) : undefined;
    if (pending) {
      window.clearTimeout(pending.timer);
      pending.item.remove();
      this.#pending.delete(line.client_id);
    }
    if (this.#lines.has(line.seq)) return;
    this.#lines.set(line.seq, this.#item(line.user_id, line.user_id === this.#me ? "You" : line.name, line.text, line.at));
    if (news && (!this.#open || !this.#atEnd())) this.#unread += 1;
  }

  /** @param {string} who @param {string} name @param {string} text @param {string} at */
  #item(who, name, text, at) {
    return make(
      "li", { class: who === this.#me ? "chat-line chat-mine" : "chat-line", "data-testid": "chat-message" },
      make("p", { class: "chat-who" }, make("span", { class: "strong" }, name), " ", make("time", { datetime: at }, clock(at, readerZone()))),
      make("p", { class: "chat-text" }, text),
      make("p", { class: "chat-note" }),
    );
  }

  /** @param {HTMLElement} item @param {...(Node|string)} words */
  #note(item, ...words) {
    item.querySelector(".chat-note")?.replaceChildren(...words);
  }

  /** Put every line in its place; lines already there do not move, so a screen reader hears only what is new. */
  #draw() {
    const { list, empty, older } = this.#parts;
    const order = [...this.#lines.entries()].sort(([a], [b]) => a - b).map(([, item]) => item);
    order.push(...[...this.#pending.values()].map((p) => p.item));
    let place = list.firstElementChild;
    for (const item of order) {
      if (item === place) place = place.nextElementSibling;
      else list.insertBefore(item, place);
    }
    empty.hidden = order.length > 0;
    older.hidden = !this.#more;
    this.#badge();
  }

  #askOlder() {
    if (!this.#more || this.#asked || this.#lines.size === 0) return;
    this.#asked = this.#wire.older(Math.min(...this.#lines.keys()));
  }

  #measure() {
    const { input, count } = this.#parts;
    const left = MAX_TEXT - input.value.length;
    count.textContent = left < 200 ? `${left} characters left` : "";
    input.setAttribute("aria-invalid", String(left < 0));
  }

  #atEnd() {
    const { scroller } = this.#parts;
    return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
  }

  #toEnd() {
    const { scroller } = this.#parts;
    scroller.scrollTop = scroller.scrollHeight;
  }

  #read() {
    this.#unread = 0;
    this.#badge();
  }

  #badge() {
    const { badge } = this.#parts;
    badge.hidden = this.#unread === 0;
    badge.textContent = this.#unread > 99 ? "99+" : String(this.#unread);
    badge.setAttribute("aria-label", `${this.#unread} unread`);
  }
}
