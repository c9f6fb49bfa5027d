// @ts-check
// The board of jobs keeps itself up to date: it asks every few seconds with the ETag of what it shows (304: nothing new).
// Polling needs no memory on either side, so a server that restarts is simply asked again; meanwhile the page says since
// when what it shows is stale.
import { call, Problem } from "./api.js";
import { clock, find, need, origin, readerZone, serverNow, zoneName } from "./dom.js";
import { busy, showProblem, values } from "./forms.js";
import { toast } from "./toast.js";

const EVERY = 3000; // ms; workers look every 2 to 5 s
const SLOWEST = 30_000; // ms between tries while the server is away
const TIMEOUT = 10_000; // ms

const board = need("[data-board]", HTMLElement);
const stale = need("[data-board-stale]", HTMLElement);
const source = board.dataset["board"] ?? "";
let etag = "";
let seen = serverNow();
let pause = EVERY;
let timer = 0;

/** @param {string} text */
function sayStale(text) {
  if (stale.textContent !== text) stale.textContent = text;
  stale.hidden = text === "";
}

/** Put the new part in place; whoever was on one of its buttons stays there. @param {string} markup */
function show(markup) {
  const focused = document.activeElement instanceof HTMLElement && board.contains(document.activeElement) ? document.activeElement.id : "";
  const parsed = new DOMParser().parseFromString(markup, "text/html");
  board.replaceChildren(...parsed.body.childNodes);
  if (focused) find(`#${CSS.escape(focused)}`, HTMLElement)?.focus({ preventScroll: true });
}

async function look() {
  try {
    const answer = await fetch(source, {
      headers: etag ? { "If-None-Match": etag } : {},
      cache: "no-store",
      credentials: "same-origin",
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (answer.type === "opaqueredirect" || answer.status === 401) {
      sayStale("You are not logged in any more. Log in again to see how things stand.");
      return;
    }
    if (answer.status === 200) {
      show(await answer.text());
      etag = answer.headers.get("ETag") ?? "";
    } else if (answer.status !== 304) throw new Error(String(answer.status));
    seen = serverNow();
    pause = EVERY;
    sayStale("");
  } catch {
    const at = new Date(seen).toISOString();
    sayStale(`No answer from the server. What you see is stale since ${clock(at, readerZone())} ${zoneName(at, readerZone())}.`);
    pause = Math.min(pause * 2, SLOWEST);
  }
  timer = window.setTimeout(() => void next(), pause);
}

async function next() {
  window.clearTimeout(timer);
  // A page that nobody sees asks nothing; it asks at once when it is seen again.
  if (!document.hidden) await look();
}

document.addEventListener("visibilitychange", () => void next());
board.addEventListener("api:done", () => void next());

const dialog = need("#pause", HTMLDialogElement);
const form = need("[data-pause]", HTMLFormElement);
board.addEventListener("click", (event) => {
  const button = origin(event, "[data-pauses]");
  if (!button) return;
  form.dataset["pause"] = button.dataset["pauses"] ?? "";
  need("[data-pause-name]", HTMLElement, form).textContent = form.dataset["pause"];
  dialog.showModal();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = form.dataset["pause"] ?? "";
  void busy(find("[type=submit]", HTMLElement, form), async () => {
    try {
      await call("POST", `/admin/jobs/${encodeURIComponent(name)}/pause`, values(form));
      dialog.close();
      form.reset();
      toast(`${name} is paused.`);
      await next();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showProblem(form, error);
    }
  });
});

timer = window.setTimeout(() => void next(), EVERY);
