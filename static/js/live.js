// @ts-check
// The bell: how much is unread, live by the socket at /ws (docs/live.md), by asking once a minute where there is none.
import { call, Problem } from "./api.js";
import { all, find } from "./dom.js";

/** @typedef {{id: string, kind: string, subject: string, text: string, url: string | null, created_at: string, read: boolean}} Item */

const POLL = 60_000; // ms
const PING = 25_000; // ms; a socket that says nothing for twice as long is dead, whatever the browser thinks
const FIRST = 500; // ms to the second try, doubling from there
const LONGEST = 30_000;
const FOREVER = new Set([1009, 4400, 4401, 4403, 4409]); // closed for good: from there on we ask

/**
 * How long to wait after a close, null for ever (the table in docs/live.md); half of it is jitter.
 * @param {number} code
 * @param {number} attempt 1, 2, ...
 * @param {number} dice 0 to 1
 * @returns {number | null}
 */
export function pauseAfter(code, attempt, dice) {
  if (FOREVER.has(code)) return null;
  const whole = code === 1001 ? 3000 : code === 1013 || code === 4429 ? 15_000 : Math.min(FIRST * 2 ** attempt, LONGEST);
  return whole / 2 + (whole / 2) * dice;
}

const bell = find("[data-bell]", HTMLAnchorElement);
const title = document.title;
/** @type {WebSocket | null} */
let socket = null;
/** @type {string | null} */
let seen = null;
let attempt = 0;
let heard = 0;
let stopped = false;
let timer = 0;

/** @param {number} unread */
export function show(unread) {
  const text = unread > 99 ? "99+" : String(unread);
  document.title = unread > 0 ? `(${text}) ${title}` : title;
  if (!bell) return;
  bell.setAttribute("aria-label", unread > 0 ? `Inbox, ${text} unread` : "Inbox");
  for (const badge of all("[data-bell-count]", HTMLElement, bell)) {
    badge.textContent = text;
    badge.hidden = unread === 0;
  }
}

/** Read aloud at the next pause. @param {string} text */
function say(text) {
  const place = find("#bell-says", HTMLElement);
  if (place) place.textContent = text;
}

/** Pages that show the inbox look again. */
function tell() {
  document.dispatchEvent(new CustomEvent("visavis:inbox"));
}

/** @param {readonly Item[]} items newest first */
function remember(items) {
  for (const { id } of items) if (seen === null || id > seen) seen = id;
}

/** @param {any} message */
function receive(message) {
  switch (message.type) {
    case "inbox": {
      const again = seen !== null;
      const before = seen;
      attempt = 0;
      if (bell) bell.dataset["live"] = "on";
      remember(message.items);
      show(message.unread);
      if (again && seen !== before) tell();
      break;
    }
    case "notification":
      remember([message.item]);
      show(message.unread);
      say(`New: ${message.item.subject}`);
      tell();
      break;
    case "unread":
      show(message.unread);
      tell();
      break;
    case "look_again":
      // Everybody was told at the same moment; not everybody has to ask at the same moment.
      window.setTimeout(() => write({ type: "look", seen }), Math.random() * 3000);
      break;
  }
}

/** @param {object} message @returns {boolean} whether it could be sent */
export function write(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function connect() {
  window.clearTimeout(timer);
  if (stopped || socket !== null) return;
  const opened = new WebSocket(`${window.location.protocol === "https:" ? "wss" : "ws"}://${window.location.host}/ws`);
  socket = opened;
  heard = performance.now();
  opened.onopen = () => write({ type: "hello", seen });
  opened.onmessage = (event) => {
    heard = performance.now();
    if (typeof event.data === "string") receive(JSON.parse(event.data));
  };
  opened.onclose = (event) => {
    if (socket !== opened) return;
    socket = null;
    if (bell) bell.dataset["live"] = "off";
    const pause = pauseAfter(event.code, ++attempt, Math.random());
    if (pause === null) stopped = true;
    else timer = window.setTimeout(connect, pause);
  };
}

function drop() {
  const dying = socket;
  socket = null;
  dying?.close();
}

async function ask() {
  if (document.hidden || socket?.readyState === WebSocket.OPEN) return;
  try {
    const page = await call("GET", "/me/inbox?limit=1");
    const before = seen;
    remember(page.items);
    show(page.unread);
    if (before !== seen) tell();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // Not now; in a minute again.
  }
}

export function startBell() {
  if (!bell) return;
  show(Number(bell.dataset["unread"] ?? "0"));
  connect();
  window.setInterval(() => {
    if (socket !== null && performance.now() - heard > 2 * PING) {
      drop();
      connect();
    }
    write({ type: "ping", t: 0 });
  }, PING);
  window.setInterval(() => void ask(), POLL);
  document.addEventListener("visibilitychange", () => void ask());
  window.addEventListener("online", connect);
  // A page in the back/forward cache keeps no socket, and comes back with an old count.
  window.addEventListener("pagehide", drop);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) connect();
  });
}
