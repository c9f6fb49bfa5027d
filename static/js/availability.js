// @ts-check
// The editor of weekly hours and single days: add, remove (with undo), copy; saves everything in one PUT; shows the result.
import { call, Problem } from "./api.js";
import { all, clock, find, make, need, origin, readerZone, serverNow } from "./dom.js";
import { submit, values } from "./forms.js";
import { toast } from "./toast.js";

/** @typedef {{start: string, end: string}} Hours */

const form = need("#availability", HTMLFormElement);
const dirty = need("[data-dirty]", HTMLElement);
const PREVIEW_DAYS = 14;
const WORKDAYS = 5; // Monday to Friday are 0 to 4

/** The elements of the windows in the order they were sent, for faults that name an index. @type {HTMLElement[]} */
let sentWeekly = [];
/** @type {HTMLElement[]} */
let sentOverrides = [];

/** @param {string} id */
function stamp(id) {
  const copy = need(`#${id}`, HTMLTemplateElement).content.firstElementChild?.cloneNode(true);
  if (!(copy instanceof HTMLElement)) throw new Error(`#${id} is empty`);
  return copy;
}

/** Minutes of "HH:MM". @param {string} text */
function minutes(text) {
  const [hours = 0, mins = 0] = text.split(":").map(Number);
  return hours * 60 + mins;
}

/** @param {number} total */
function asTime(total) {
  return `${String(Math.floor(total / 60) % 24).padStart(2, "0")}:${String(total % 60).padStart(2, "0")}`;
}

/** A time field cannot say 24:00: an end at 00:00 means midnight. @param {HTMLElement} row @returns {Hours} */
function hoursOf(row) {
  const start = need("[data-start]", HTMLInputElement, row).value;
  const end = need("[data-end]", HTMLInputElement, row).value;
  return { start, end: end === "00:00" ? "24:00" : end };
}

/** @param {HTMLElement} place a weekday or a single day @param {Hours} [hours] */
function addWindow(place, hours) {
  const list = need("[data-windows]", HTMLElement, place);
  const last = all("[data-window]", HTMLElement, list).at(-1);
  let next = hours;
  if (!next) {
    const from = last ? Math.min(minutes(hoursOf(last).end || "17:00") + 60, 22 * 60) : 9 * 60;
    next = { start: asTime(from), end: asTime(last ? Math.min(from + 120, 23 * 60 + 55) : 17 * 60) };
  }
  const row = stamp("window-template");
  need("[data-start]", HTMLInputElement, row).value = next.start;
  need("[data-end]", HTMLInputElement, row).value = next.end === "24:00" ? "00:00" : next.end;
  list.append(row);
  changed();
  return row;
}

function changed() {
  dirty.hidden = false;
  for (const day of all("[data-weekday]", HTMLElement, form)) need("[data-none]", HTMLElement, day).hidden = day.querySelector("[data-window]") !== null;
  for (const day of all("[data-override]", HTMLElement, form)) need("[data-day-off]", HTMLElement, day).hidden = day.querySelector("[data-window]") !== null;
}

/** @param {HTMLElement} element @param {string} said */
function removeWithUndo(element, said) {
  const { parentElement, nextSibling } = element;
  const focus = element.closest("[data-weekday], [data-override]")?.querySelector("[data-add-window]");
  element.remove();
  changed();
  if (focus instanceof HTMLElement) focus.focus();
  toast(said, {
    action: "Undo",
    onAction: () => {
      parentElement?.insertBefore(element, nextSibling?.parentNode === parentElement ? nextSibling : null);
      changed();
    },
  });
}

/** @param {HTMLElement} source */
function copyDay(source) {
  const hours = all("[data-window]", HTMLElement, source).map(hoursOf);
  const others = all("[data-weekday]", HTMLElement, form).filter((day) => day !== source && Number(day.dataset["weekday"]) < WORKDAYS);
  const before = others.map((day) => /** @type {const} */ ([day, all("[data-window]", HTMLElement, day)]));
  for (const [day, rows] of before) {
    for (const row of rows) row.remove();
    for (const one of hours) addWindow(day, one);
  }
  changed();
  toast("Copied to Monday–Friday.", {
    action: "Undo",
    onAction: () => {
      for (const [day, rows] of before) need("[data-windows]", HTMLElement, day).replaceChildren(...rows);
      changed();
    },
  });
}

form.addEventListener("click", (event) => {
  const add = origin(event, "[data-add-window]");
  const place = add?.closest("[data-weekday], [data-override]");
  if (place instanceof HTMLElement) {
    const row = addWindow(place);
    need("[data-start]", HTMLInputElement, row).focus();
    return;
  }
  const window = origin(event, "[data-remove-window]")?.closest("[data-window]");
  if (window instanceof HTMLElement) return removeWithUndo(window, "Hours removed.");
  const override = origin(event, "[data-remove-override]")?.closest("[data-override]");
  if (override instanceof HTMLElement) return removeWithUndo(override, "Date removed.");
  const copied = origin(event, "[data-copy-day]")?.closest("[data-weekday]");
  if (copied instanceof HTMLElement) return copyDay(copied);
  if (origin(event, "[data-add-override]")) {
    const row = stamp("override-template");
    need("[data-overrides]", HTMLElement, form).append(row);
    const date = need("[data-date]", HTMLInputElement, row);
    const next = new Date(serverNow() + 86_400_000);
    date.value = new Intl.DateTimeFormat("en-CA", { timeZone: readerZone() }).format(next);
    date.focus();
    changed();
  }
});
form.addEventListener("input", changed);
window.addEventListener("beforeunload", (event) => {
  if (!dirty.hidden) event.preventDefault();
});

/** @param {HTMLElement} row @param {string} text */
function complain(row, text) {
  need("[data-window-error], [data-override-error]", HTMLElement, row).textContent = text;
  for (const input of all(":scope > input", HTMLInputElement, row)) input.setAttribute("aria-invalid", "true");
}

/** Faults that are plain to see before the server is asked. */
function localFaults() {
  let first = /** @type {HTMLElement | null} */ (null);
  for (const place of all("[data-weekday], [data-override]", HTMLElement, form)) {
    /** @type {[number, number][]} */
    const taken = [];
    for (const row of all("[data-window]", HTMLElement, place)) {
      const { start, end } = hoursOf(row);
      const span = /** @type {[number, number]} */ ([minutes(start), minutes(end)]);
      let fault = "";
      if (!start || !end) fault = "Give a start and an end.";
      else if (span[1] <= span[0]) fault = "The end is before the start.";
      else if (taken.some(([from, to]) => span[0] < to && from < span[1])) fault = "These hours overlap others of the day.";
      taken.push(span);
      if (!fault) continue;
      complain(row, fault);
      first ??= row;
    }
  }
  const dates = new Set();
  for (const row of all("[data-override]", HTMLElement, form)) {
    const date = need("[data-date]", HTMLInputElement, row).value;
    if (!date || dates.has(date)) {
      complain(row, date ? "This date is there twice." : "Choose a date.");
      first ??= row;
    }
    dates.add(date);
  }
  find("input", HTMLInputElement, first ?? document.createElement("p"))?.focus();
  return first !== null;
}

form.addEventListener("submit", () => {
  for (const place of all("[data-window-error], [data-override-error]", HTMLElement, form)) place.textContent = "";
  for (const input of all("[aria-invalid]", HTMLInputElement, form)) input.removeAttribute("aria-invalid");
  if (localFaults()) return;
  /** @type {(Hours & {weekday: number})[]} */
  const weekly = [];
  sentWeekly = [];
  for (const day of all("[data-weekday]", HTMLElement, form)) {
    for (const row of all("[data-window]", HTMLElement, day)) {
      weekly.push({ weekday: Number(day.dataset["weekday"]), ...hoursOf(row) });
      sentWeekly.push(row);
    }
  }
  sentOverrides = all("[data-override]", HTMLElement, form);
  const overrides = sentOverrides.map((row) => ({
    date: need("[data-date]", HTMLInputElement, row).value,
    windows: all("[data-window]", HTMLElement, row).map(hoursOf),
  }));
  void submit(form, { max_per_day: null, ...values(form), weekly, overrides });
});

form.addEventListener("api:done", () => {
  dirty.hidden = true;
  void preview();
});
form.addEventListener("api:refused", (event) => {
  if (!(event instanceof CustomEvent) || !(event.detail instanceof Problem)) return;
  for (const { field, message } of event.detail.errors) {
    const [list, index] = field.split(".");
    const row = (list === "weekly" ? sentWeekly : list === "overrides" ? sentOverrides : [])[Number(index)];
    if (row) complain(row, message);
  }
});

/** Show the next open times as the directory computes them. */
async function preview() {
  const place = need("[data-preview]", HTMLElement);
  const zone = readerZone();
  const from = new Date(serverNow()).toISOString();
  const to = new Date(serverNow() + PREVIEW_DAYS * 86_400_000).toISOString();
  try {
    /** @type {{slots: Hours[]}} */
    const { slots } = await call("GET", `/mentors/${form.dataset["mentor"]}/slots?${new URLSearchParams({ from, to, tz: zone })}`);
    const dayName = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: zone });
    /** @type {Map<string, string[]>} */
    const days = new Map();
    for (const slot of slots) {
      const day = dayName.format(new Date(slot.start));
      days.set(day, [...(days.get(day) ?? []), clock(slot.start, zone)]);
    }
    if (slots.length === 0) {
      place.replaceChildren(make("p", { class: "small muted" }, "No open times. Add weekly hours and save."));
      return;
    }
    place.replaceChildren(
      make("p", { class: "small strong" }, `${slots.length} open time${slots.length === 1 ? "" : "s"}`),
      ...[...days].map(([day, times]) =>
        make("div", { class: "preview-day" }, make("span", { class: "small" }, day), make("span", { class: "chips" }, ...times.map((time) => make("span", { class: "chip" }, time)))),
      ),
    );
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    place.replaceChildren(make("p", { class: "small muted" }, problem.message));
  }
}

void preview();
