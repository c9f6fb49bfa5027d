// @ts-check
// The typed view of the hours: rows of time fields for every weekday and single day, kept equal to the model.
import { all, make, need, origin, readerZone, serverNow } from "../dom.js";
import { toast } from "../toast.js";
import { asTime, DAY, faultsOf, minutes } from "./hours.js";

/** @typedef {import("./hours.js").Span} Span */
/** @typedef {import("./hours.js").State} State */
/** @typedef {import("./hours.js").Model} Model */

const WORKDAYS = 5; // Monday to Friday are 0 to 4

/** @param {string} id */
export function stamp(id) {
  const copy = need(`#${id}`, HTMLTemplateElement).content.firstElementChild?.cloneNode(true);
  if (!(copy instanceof HTMLElement)) throw new Error(`#${id} is empty`);
  return copy;
}

/** @param {HTMLInputElement} input @param {string} value */
function put(input, value) {
  if (document.activeElement !== input && input.value !== value) input.value = value;
}

/** @param {HTMLElement} place @returns {(state: State) => Span[]} where the model keeps the windows of a weekday or single day */
function spansOf(place) {
  const weekday = place.dataset["weekday"];
  const at = Number(weekday ?? place.dataset["at"]);
  return (state) => (weekday !== undefined ? state.weekly[at] : state.days[at]?.windows) ?? [];
}

/** @param {HTMLElement} list @param {Span[]} spans @param {string} name */
function rows(list, spans, name) {
  while (list.children.length > spans.length) list.lastElementChild?.remove();
  while (list.children.length < spans.length) list.append(stamp("window-template"));
  all("[data-window]", HTMLElement, list).forEach((row, at) => {
    const span = spans[at];
    if (!span) return;
    const over = span.end > DAY;
    put(need("[data-start]", HTMLInputElement, row), asTime(span.start));
    put(need("[data-end]", HTMLInputElement, row), asTime(span.end));
    const next = need("[data-next]", HTMLInputElement, row);
    next.checked = over;
    need("[data-next-label]", HTMLElement, row).hidden = !(over || span.end <= span.start);
    row.dataset["name"] = `${name}.${at}`;
  });
}

/** @param {HTMLElement} form @param {Model} model */
export function typedHours(form, model) {
  const overrides = need("[data-overrides]", HTMLElement, form);

  function draw() {
    let sent = 0;
    model.state.weekly.forEach((spans, weekday) => {
      const day = need(`[data-weekday="${weekday}"]`, HTMLElement, form);
      rows(need("[data-windows]", HTMLElement, day), spans, "weekly");
      all("[data-window]", HTMLElement, day).forEach((row) => (row.dataset["name"] = `weekly.${sent++}`));
      need("[data-none]", HTMLElement, day).hidden = spans.length > 0;
    });
    while (overrides.children.length > model.state.days.length) overrides.lastElementChild?.remove();
    while (overrides.children.length < model.state.days.length) overrides.append(stamp("override-template"));
    all("[data-override]", HTMLElement, overrides).forEach((row, at) => {
      const day = model.state.days[at];
      if (!day) return;
      row.dataset["at"] = String(at);
      put(need("[data-date]", HTMLInputElement, row), day.date);
      need("[data-day-off]", HTMLElement, row).hidden = day.windows.length > 0;
      rows(need("[data-windows]", HTMLElement, row), day.windows, `overrides.${at}.windows`);
    });
  }

  /** @param {HTMLElement} place @param {number} at @param {string} field */
  function focus(place, at, field = "[data-start]") {
    const row = all("[data-window]", HTMLElement, place)[at];
    if (row) need(field, HTMLInputElement, row).focus();
  }

  /** @param {string} said */
  function undoable(said) {
    const depth = model.past.length;
    toast(said, {
      action: "Undo",
      onAction: () => {
        while (model.past.length >= depth && model.undoable) model.undo();
      },
    });
  }

  form.addEventListener("input", (event) => {
    const row = origin(event, "[data-window]");
    const place = row?.closest("[data-weekday], [data-override]");
    if (row && place instanceof HTMLElement) {
      const at = all("[data-window]", HTMLElement, place).indexOf(row);
      const start = minutes(need("[data-start]", HTMLInputElement, row).value);
      const typed = need("[data-end]", HTMLInputElement, row).value;
      const end = (typed === "00:00" ? DAY : minutes(typed)) + (need("[data-next]", HTMLInputElement, row).checked && typed !== "00:00" ? DAY : 0);
      // A field has the hour before it has the minutes: all of it is one step.
      model.change((state) => void (spansOf(place)(state)[at] = { start, end }), `${row.dataset["name"]} ${place.dataset["weekday"] ?? ""}`);
      clear(row);
      return;
    }
    const date = origin(event, "[data-date]");
    const override = date?.closest("[data-override]");
    if (date instanceof HTMLInputElement && override instanceof HTMLElement) {
      model.change((state) => {
        const day = state.days[Number(override.dataset["at"])];
        if (day) day.date = date.value;
      }, `date ${override.dataset["at"]}`);
      clear(override);
    }
  });

  form.addEventListener("click", (event) => {
    const place = origin(event, "[data-weekday], [data-override]");
    if (origin(event, "[data-add-override]")) {
      const next = new Date(serverNow() + 86_400_000);
      const date = new Intl.DateTimeFormat("en-CA", { timeZone: readerZone() }).format(next);
      model.change((state) => void state.days.push({ date, windows: [] }));
      const row = all("[data-override]", HTMLElement, overrides).at(-1);
      if (row) need("[data-date]", HTMLInputElement, row).focus();
      return;
    }
    if (!place) return;
    const spans = spansOf(place);
    if (origin(event, "[data-add-window]")) {
      model.change((state) => {
        const own = spans(state);
        const last = own.at(-1);
        const start = last ? Math.min((last.end || 17 * 60) + 60, 22 * 60) : 9 * 60;
        own.push({ start, end: last ? Math.min(start + 120, DAY - 5) : 17 * 60 });
      });
      focus(place, spans(model.state).length - 1);
    } else if (origin(event, "[data-remove-window]")) {
      const at = all("[data-window]", HTMLElement, place).indexOf(/** @type {HTMLElement} */ (origin(event, "[data-window]")));
      model.change((state) => void spans(state).splice(at, 1));
      undoable("Hours removed.");
      need("[data-add-window]", HTMLButtonElement, place).focus();
    } else if (origin(event, "[data-remove-override]")) {
      model.change((state) => void state.days.splice(Number(place.dataset["at"]), 1));
      undoable("Date removed.");
    } else if (origin(event, "[data-copy-day]")) {
      model.change((state) => {
        for (let day = 0; day < WORKDAYS; day += 1) state.weekly[day] = structuredClone(spans(state));
      });
      undoable("Copied to Monday–Friday.");
    }
  });

  model.watch(draw);
  draw();
  return { focus: (/** @type {number} */ weekday, /** @type {number} */ at) => focus(need(`[data-weekday="${weekday}"]`, HTMLElement, form), at) };
}

/** @param {HTMLElement} row */
function clear(row) {
  need("[data-window-error], [data-override-error]", HTMLElement, row).textContent = "";
  for (const input of all("[aria-invalid]", HTMLElement, row)) input.removeAttribute("aria-invalid");
}

/** @param {HTMLElement} row @param {string} text */
export function complain(row, text) {
  need("[data-window-error], [data-override-error]", HTMLElement, row).textContent = text;
  for (const input of all("[data-start], [data-end], [data-date]", HTMLElement, row)) {
    if (input.closest("[data-window], [data-override]") === row) input.setAttribute("aria-invalid", "true");
  }
}

/** Show what is plainly wrong; true when something is. @param {HTMLElement} form @param {Model} model */
export function localFaults(form, model) {
  /** @type {HTMLElement | null} */
  let first = null;
  for (const row of all("[data-window], [data-override]", HTMLElement, form)) clear(row);
  const dates = new Set();
  for (const place of all("[data-weekday], [data-override]", HTMLElement, form)) {
    const faults = faultsOf(spansOf(place)(model.state));
    all("[data-window]", HTMLElement, place).forEach((row, at) => {
      const fault = faults[at];
      if (!fault) return;
      complain(row, fault);
      first ??= row;
    });
    if (place.dataset["weekday"] !== undefined) continue;
    const date = model.state.days[Number(place.dataset["at"])]?.date ?? "";
    if (!date || dates.has(date)) {
      complain(place, date ? "This date is there twice." : "Choose a date.");
      first ??= place;
    }
    dates.add(date);
  }
  if (first) need("input", HTMLInputElement, first).focus();
  return first !== null;
}

/** Put a fault of the server beside the row that it names; false when there is none. @param {HTMLElement} form @param {Model} model @param {string} field @param {string} message */
export function placeFault(form, model, field, message) {
  const row = all("[data-window]", HTMLElement, form).find((one) => field === one.dataset["name"] || field.startsWith(`${one.dataset["name"]}.`));
  const [list, which = ""] = field.split(".");
  const override = list === "overrides" ? all("[data-override]", HTMLElement, form).find((one) => one.dataset["at"] === which || model.state.days[Number(one.dataset["at"])]?.date === which) : undefined;
  const place = row ?? override;
  if (place) complain(place, message);
  return place !== undefined;
}

/** @param {string} name @param {string} value */
export function option(name, value) {
  return make("option", { value }, name);
}
