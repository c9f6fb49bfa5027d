// @ts-check
// A mentor's page: choose a slot, say what it is about and how often, book (or move) it, or wait for a time.
import { call, newKey, Problem } from "./api.js";
import { all, clock, find, make, need, origin, readerZone, spokenSpan, tokens } from "./dom.js";
import { busy, showProblem, submit, values } from "./forms.js";
import { flash, toast } from "./toast.js";

const section = need("[data-slots]", HTMLElement);
const dialog = need("#book", HTMLDialogElement);
const form = need("form", HTMLFormElement, dialog);
const once = { api: form.dataset["api"] ?? "", then: form.dataset["then"] ?? "" };

/** @param {string} name */
function hidden(name) {
  return need(`input[name="${name}"]`, HTMLInputElement, form);
}

section.addEventListener("click", (event) => {
  const slot = origin(event, "button.slot");
  if (!slot) return;
  const { start = "", end = "" } = slot.dataset;
  hidden("start").value = start;
  hidden("end").value = end;
  // Both texts come from the server, whose names of zones (EDT, CEST) the rest of the page uses.
  const { when = "", theirs = "", seats = "" } = slot.dataset;
  const left = need("[data-book-seats]", HTMLElement, dialog);
  left.textContent = seats;
  left.hidden = seats === "";
  need("[data-book-when]", HTMLElement, dialog).textContent = when;
  need("[data-book-theirs]", HTMLElement, dialog).textContent = theirs === when ? "In your own time zone" : `There: ${theirs}`;
  need(".form-error", HTMLElement, form).textContent = "";
  find("[data-collisions]", HTMLElement, form)?.replaceChildren();
  dialog.showModal();
  find("input:not([type=hidden]), textarea", HTMLElement, form)?.focus();
});

/** Arrow keys go through the slots: up and down within a day, left and right to the days beside it. */
section.addEventListener("keydown", (event) => {
  const slot = origin(event, ".slot");
  if (!slot) return;
  const days = all(".slot-day", HTMLElement, section).map((day) => all(".slot:not(.slot-full)", HTMLElement, day));
  const day = days.findIndex((slots) => slots.includes(slot));
  const at = days[day]?.indexOf(slot) ?? 0;
  /** @type {HTMLElement | null | undefined} */
  let next;
  switch (event.key) {
    case "ArrowDown":
      next = days[day]?.[at + 1] ?? days[day + 1]?.[0];
      break;
    case "ArrowUp":
      next = days[day]?.[at - 1] ?? days[day - 1]?.at(-1);
      break;
    case "ArrowRight":
      next = days[day + 1]?.[Math.min(at, (days[day + 1]?.length ?? 1) - 1)];
      if (!next) find("[data-later][href]", HTMLElement, section)?.click();
      break;
    case "ArrowLeft":
      next = days[day - 1]?.[Math.min(at, (days[day - 1]?.length ?? 1) - 1)];
      if (!next) find("[data-earlier][href]", HTMLElement, section)?.click();
      break;
    case "Home":
      next = days[0]?.[0];
      break;
    case "End":
      next = days.at(-1)?.at(-1);
      break;
    default:
      return;
  }
  event.preventDefault();
  next?.focus();
});

const weeks = find("[data-weeks]", HTMLSelectElement, form);
const short = find("[data-short]", HTMLElement, form);

/** What it costs in all, and whether there is as much. */
function bill() {
  const place = find("[data-bill]", HTMLElement, form);
  if (!place || !weeks) return;
  const price = Number(place.dataset["price"]) * Number(weeks.value || "1");
  const balance = Number(place.dataset["balance"]);
  need("[data-bill-price]", HTMLElement, place).textContent = tokens(price);
  need("[data-bill-left]", HTMLElement, place).textContent = balance >= price ? tokens(balance - price) : `not enough: you have ${balance}`;
  if (short) short.hidden = balance >= price || weeks.value !== "";
  const several = weeks.value !== "";
  form.dataset["api"] = several ? "POST /bookings/series" : once.api;
  form.dataset["then"] = several ? "/bookings?show=requested" : once.then;
}
weeks?.addEventListener("change", () => {
  find("[data-collisions]", HTMLElement, form)?.replaceChildren();
  bill();
});
bill();

form.addEventListener("submit", () => {
  find("[data-collisions]", HTMLElement, form)?.replaceChildren();
  void submit(form, values(form));
});

const hold = find("[data-hold]", HTMLButtonElement, form);
hold?.addEventListener("click", () => {
  void busy(hold, async () => {
    try {
      const kept = await call("POST", "/bookings", { ...values(form), hold: true }, { key: newKey() });
      flash("Kept for five minutes.");
      window.location.assign(`/bookings/${kept.id}`);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      showProblem(form, problem);
    }
  });
});

/** @typedef {{start: string, end: string, detail: string, conflicts: {title: string}[]}} Collision */

/** The dates of a series that cannot be booked. @param {Collision[]} dates */
function collisions(dates) {
  const zone = readerZone();
  find("[data-collisions]", HTMLElement, form)?.replaceChildren(
    make("p", { class: "small strong" }, "These dates cannot be booked:"),
    make("ul", { class: "collisions" }, ...dates.map((one) => make("li", {}, `${spokenSpan(one.start, one.end, zone)}: ${one.detail}`))),
  );
}

form.addEventListener("api:refused", (event) => {
  const problem = event instanceof CustomEvent ? event.detail : null;
  if (!(problem instanceof Problem)) return;
  if (problem.code === "insufficient_tokens" && short && weeks?.value === "") short.hidden = false;
  const dates = problem.more["dates"];
  if (problem.code === "series_conflict" && Array.isArray(dates)) return collisions(dates);
  if (problem.status !== 409 && !problem.errors.some((e) => e.field === "start")) return;
  // What is in the way of somebody else is only called Busy; what is in one's own way has its title.
  const own = problem.conflicts.find((conflict) => conflict.title && conflict.title !== "Busy");
  dialog.close();
  const faster = problem.code === "booking_conflict" || problem.status !== 409 ? "Somebody was faster." : problem.message;
  toast(own ? `You have something else then: ${own.title}, ${clock(own.start, readerZone())}.` : `${faster} These are the times that are open now.`, { tone: "bad" });
  void refresh();
});

/** Fetch the page again and put its slots in place of ours. */
async function refresh() {
  const body = need("[data-slots-body]", HTMLElement, section);
  body.classList.add("is-loading");
  try {
    const response = await fetch(window.location.href, { credentials: "same-origin", signal: AbortSignal.timeout(20_000) });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("[data-slots-body]");
    if (response.ok && fresh) body.replaceChildren(...fresh.childNodes);
  } catch {
    toast("The open times could not be loaded again. Reload the page.", { tone: "bad" });
  } finally {
    body.classList.remove("is-loading");
  }
}

/** The instant of a date's beginning in a zone. @param {string} date @param {string} zone @param {number} [days] after it */
function midnight(date, zone, days = 0) {
  const wall = Date.parse(`${date}T00:00:00Z`) + days * 86_400_000;
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });
  let at = wall;
  // Twice: the offset at the first guess may be that of the other side of a change.
  for (let n = 0; n < 2; n += 1) {
    const seen = Object.fromEntries(parts.formatToParts(new Date(at)).map((part) => [part.type, part.value]));
    at += wall - Date.parse(`${seen["year"]}-${seen["month"]}-${seen["day"]}T${seen["hour"]}:${seen["minute"]}:00Z`);
  }
  return new Date(at).toISOString();
}

const wait = find("[data-wait]", HTMLFormElement);
wait?.addEventListener("submit", () => {
  const { earliest, latest } = values(wait);
  const zone = readerZone();
  const both = typeof earliest === "string" && typeof latest === "string";
  void submit(wait, both ? { earliest: midnight(earliest, zone), latest: midnight(latest, zone, 1) } : {});
});
