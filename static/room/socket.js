// @ts-check
/** Keeps one room socket open: hello, pings, and coming back after every loss that permits it. */

import { Problem } from "../js/api.js";
import { serverNow } from "../js/dom.js";
import { afterClose } from "./protocol.js";

/** @import { FromServer, ToServer, Verdict } from "./protocol.js" */

const PING_EVERY = 10_000;
const SILENCE = 25_000; // nothing heard for so long: the socket is dead, whatever the browser thinks
const OPEN_WITHIN = 10_000;
const PROOF = 2000; // milliseconds for a socket to show that it has survived a change of networks

/**
 * @typedef {{room_token: string, ws_url: string, ice_servers: RTCIceServer[], expires_at: string}} Ticket
 * @typedef {{
 *   message: (message: FromServer) => void,
 *   lost: () => void,
 *   stopped: (why: Extract<Verdict, {then: "stop"}>["why"]) => void,
 *   refused: (refusal: Problem) => void,
 * }} Listener
 */

/** The room token and the names for TURN, which begin with their expiry in seconds, are good for a while. @param {Ticket} ticket */
function fresh(ticket) {
  const names = ticket.ice_servers.map(({ username }) => Number.parseInt(username ?? "", 10) * 1000);
  return Math.min(Date.parse(ticket.expires_at), ...names.filter(Number.isFinite)) >= serverNow() + 30_000;
}

export class RoomSocket {
  /** @type {WebSocket|null} */ #socket = null;
  /** @type {Ticket|null} */ #ticket = null;
  /** @type {string|null} */ #resume = null;
  #attempt = 0;
  #heard = 0;
  #stopped = false;
  #opening = false;
  /** @type {number|undefined} */ #timer;
  /** @type {number|undefined} */ #pinger;

  /**
   * @param {() => Promise<Ticket>} ask gets a room token; rejects with `Problem`
   * @param {Listener} listener
   */
  constructor(ask, listener) {
    this.#ask = ask;
    this.#listener = listener;
    this.#pinger = window.setInterval(() => this.#pulse(), PING_EVERY);
    window.addEventListener("online", this.hurry);
  }
  #ask;
  #listener;

  /** True once the server has said welcome and the socket is open. */
  get ready() {
    return this.#socket?.readyState === WebSocket.OPEN && this.#attempt === 0;
  }

  /** Addresses of TURN, with credentials that are still good for a while. @returns {Promise<RTCIceServer[]>} */
  async servers() {
    if (this.#ticket === null || !fresh(this.#ticket)) {
      try {
        this.#ticket = await this.#ask();
      } catch {
        return this.#ticket?.ice_servers ?? []; // most people do not need them
      }
    }
    return this.#ticket.ice_servers;
  }

  async open() {
    if (this.#stopped || this.#opening) return;
    this.#opening = true;
    window.clearTimeout(this.#timer);
    try {
      if (this.#ticket === null || !fresh(this.#ticket)) {
        this.#ticket = await this.#ask();
      }
    } catch (error) {
      this.#opening = false;
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) {
        this.#listener.refused(error);
      } else {
        this.#again(afterClose(1006, ++this.#attempt));
      }
      return;
    }
    this.#opening = false;
    if (this.#stopped) return;
    this.#connect(this.#ticket);
  }

  /** @param {Ticket} ticket */
  #connect(ticket) {
    const socket = new WebSocket(ticket.ws_url);
    this.#socket = socket;
    this.#heard = performance.now();
    const tooLong = window.setTimeout(() => this.#drop(socket), OPEN_WITHIN);
    socket.onopen = () => {
      window.clearTimeout(tooLong);
      this.#write(socket, {
        type: "hello",
        room_token: ticket.room_token,
        ...(this.#resume === null ? {} : { resume: this.#resume }),
      });
    };
    socket.onmessage = (event) => {
      this.#heard = performance.now();
      if (typeof event.data !== "string") return;
      /** @type {FromServer} */
      const message = JSON.parse(event.data);
      if (message.type === "welcome") {
        this.#attempt = 0;
        this.#resume = message.peer_id;
      }
      this.#listener.message(message);
    };
    socket.onclose = (event) => {
      window.clearTimeout(tooLong);
      this.#closed(socket, event.code);
    };
  }

  /** @param {ToServer} message @returns {boolean} whether it was written */
  send(message) {
    if (!this.ready || this.#socket === null) return false;
    this.#write(this.#socket, message);
    return true;
  }

  /** Try now rather than later: the network came back, or the person asks for it. */
  hurry = () => {
    if (this.#stopped) return;
    const socket = this.#socket, heard = this.#heard;
    if (socket === null) void this.open();
    else if (performance.now() - heard > PROOF) this.#drop(socket);
    else if (this.send({ type: "ping", t: Math.round(performance.now()) })) {
      // It was alive a moment ago, perhaps on the network that is gone.
      window.setTimeout(() => {
        if (this.#socket === socket && this.#heard === heard) this.#drop(socket);
      }, PROOF);
    }
  };

  /** Say goodbye and close for good. */
  leave() {
    this.send({ type: "leave" });
    this.#end();
    const socket = this.#socket;
    // The server closes after its goodbye; if it does not, we do.
    if (socket) window.setTimeout(() => socket.close(1000), 1500);
  }

  #end() {
    this.#stopped = true;
    window.clearTimeout(this.#timer);
    window.clearInterval(this.#pinger);
    window.removeEventListener("online", this.hurry);
  }

  /** @param {WebSocket} socket @param {ToServer} message */
  #write(socket, message) {
    socket.send(JSON.stringify(message));
  }

  #pulse() {
    if (this.#socket === null) return;
    if (performance.now() - this.#heard > SILENCE) this.#drop(this.#socket);
    else this.send({ type: "ping", t: Math.round(performance.now()) });
  }

  /** Give a socket up without waiting for its closing handshake. @param {WebSocket} socket */
  #drop(socket) {
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#closed(socket, 1006);
  }

  /** @param {WebSocket} socket @param {number} code */
  #closed(socket, code) {
    if (this.#socket !== socket) return;
    this.#socket = null;
    if (this.#stopped) return;
    const verdict = afterClose(code, this.#attempt++);
    if (verdict.then === "stop") {
      this.#end();
      this.#listener.stopped(verdict.why);
      return;
    }
    this.#listener.lost();
    this.#again(verdict);
  }

  /** @param {Verdict} verdict */
  #again(verdict) {
    if (verdict.then === "stop") return;
    if (verdict.renew) this.#ticket = null;
    this.#timer = window.setTimeout(() => void this.open(), verdict.after);
  }
}
