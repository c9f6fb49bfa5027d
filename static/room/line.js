// @ts-check
/** Keeps our media with the SFU over one room socket: dials, restarts ICE on another network, dials anew when that fails. */

import { Call } from "./call.js";
import { freshId } from "./protocol.js";

/** @import { Received, Sent } from "./call.js" */
/** @import { FromServer, Source } from "./protocol.js" */
/** @import { RoomSocket } from "./socket.js" */

const UNSEEN = 4000; // milliseconds: longer than a hiccup, shorter than the browser's own 18 s until "failed"
const LONGEST_WAIT = 15_000; // milliseconds between two dials

/**
 * @typedef {{
 *   sent: () => Sent,
 *   received: (slots: Received[]) => void,
 *   answered: () => void,
 *   changed: () => void,
 * }} Listener `answered`: a new connection has been told nothing yet; `changed`: look at the state again
 */

export class Line {
  /** @type {Call|null} */ #call = null;
  /** @type {Map<string, {resolve: (sdp: string) => void, reject: (why: Error) => void}>} */ #offers = new Map();
  #others = 1; // as many people as the session is for, without this one
  #moved = false; // the network has changed since the last welcome
  #calls = 0;
  #tries = 0;
  #retry = 0;
  #unseen = 0;
  #over = false;

  /** @param {RoomSocket} socket @param {Listener} listener */
  constructor(socket, listener) {
    this.#socket = socket;
    this.#listener = listener;
  }
  #socket;
  #listener;

  /** @returns {"connected"|"connecting"|"reconnecting"} */
  get state() {
    if (this.#call?.connected) return "connected";
    return this.#calls > 1 || this.#call?.answered ? "reconnecting" : "connecting";
  }

  /** Whether the SFU knows us, so that it can be asked for something. */
  get answered() {
    return this.#call?.answered === true;
  }

  /** The socket is ours. @param {boolean} resumed the SFU still holds our media @param {number} others */
  welcome(resumed, others) {
    const moved = this.#moved;
    this.#moved = false;
    this.#others = others;
    if (!resumed || this.#call === null || this.#call.closed) void this.#dial();
    else if (moved || !this.#call.connected) void this.#restart();
  }

  /** The socket is gone, and with it what was on its way. */
  lost() {
    for (const { reject } of this.#offers.values()) reject(new Error("the socket is gone"));
    this.#offers.clear();
  }

  /** @param {FromServer} message @returns {boolean} whether it was for us */
  hear(message) {
    switch (message.type) {
      case "answer":
        this.#settle(message.id, (offer) => offer.resolve(message.sdp));
        return true;
      case "error":
        return message.id !== undefined && this.#settle(message.id, (offer) => offer.reject(new Error(message.detail)));
      case "slots":
        this.#call?.show(message.slots);
        return true;
      case "paused":
        this.#call?.pause(message.mid, message.paused);
        return true;
      case "layers":
        this.#call?.layers(message.mid, message.rids);
        return true;
      default:
        return false;
    }
  }

  /** Our tracks have changed. */
  send() {
    void this.#call?.send(this.#listener.sent());
  }

  /** Another network, or the same one again: neither the socket nor the media know yet. */
  move() {
    this.#moved = true;
    this.#socket.hurry();
    if (this.#socket.ready) void this.#restart();
  }

  /** The SFU does not see us although our side thinks it is connected: after a while, begin anew. @param {boolean} seen */
  observed(seen) {
    window.clearTimeout(this.#unseen);
    if (seen) return;
    this.#unseen = window.setTimeout(() => {
      if (this.#call?.connected) this.#redial();
    }, UNSEEN);
  }

  /** The page goes away, perhaps to come back: the SFU should know now, not when it hears nothing any more. */
  hangUp() {
    this.#call?.close();
  }

  close() {
    this.#over = true;
    window.clearTimeout(this.#retry);
    window.clearTimeout(this.#unseen);
    this.#call?.close();
  }

  /** A new connection; the old one, if any, is beyond repair. */
  async #dial() {
    this.#call?.close();
    window.clearTimeout(this.#retry);
    const servers = await this.#socket.servers();
    if (this.#over) return;
    this.#call?.close(); // the one of somebody who dialled meanwhile
    const call = new Call(servers, this.#others, this.#listener.sent(), {
      offer: (sdp, sources) => this.#offer(sdp, sources),
      received: (slots) => this.#listener.received(slots),
      state: (state) => {
        if (call !== this.#call) return;
        if (state === "connected") this.#tries = 0;
        if (state === "failed" && this.#socket.ready) this.#redial(); // without a socket the next welcome decides
        this.#listener.changed();
      },
    });
    this.#call = call;
    this.#calls++;
    call.start().then(
      () => this.#listener.answered(),
      () => {
        if (call === this.#call) this.#redial();
      },
    );
  }

  #redial() {
    if (this.#over) return;
    window.clearTimeout(this.#retry);
    this.#retry = window.setTimeout(() => {
      // Without a socket there is nobody to offer to; the next welcome dials.
      if (this.#socket.ready) void this.#dial();
      else this.#call?.close();
    }, Math.min(LONGEST_WAIT, 500 * 2 ** this.#tries++));
  }

  async #restart() {
    await this.#call?.restart(await this.#socket.servers());
    this.#listener.changed();
  }

  /** @param {string} sdp @param {Record<string, Source>} sources @returns {Promise<string>} */
  #offer(sdp, sources) {
    return new Promise((resolve, reject) => {
      const id = freshId();
      this.#offers.set(id, { resolve, reject });
      if (this.#socket.send({ type: "offer", id, sdp, sources })) return;
      this.#offers.delete(id);
      reject(new Error("the socket is gone"));
    });
  }

  /** @param {string} id @param {(offer: {resolve: (sdp: string) => void, reject: (why: Error) => void}) => void} how */
  #settle(id, how) {
    const offer = this.#offers.get(id);
    if (!offer) return false;
    this.#offers.delete(id);
    how(offer);
    return true;
  }
}
