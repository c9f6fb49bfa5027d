// @ts-check
// The slot manager: the week and the month as pictures and as fields, all views of one model; saves in one PUT.
import { Problem } from "./api.js";
import { find, make, need, origin, serverNow } from "./dom.js";
import { busy, submit, values } from "./forms.js";
import { localFaults, placeFault, typedHours } from "./schedule/fields.js";
import { holidayCalendar } from "./schedule/holidays.js";
import { faultsOf, Model, read, spoken, written } from "./schedule/hours.js";
import { monthPicture, spokenDate } from "./schedule/month.js";
import { preview } from "./schedule/preview.js";
import { spanRows } from "./schedule/spans.js";
import { weekPicture } from "./schedule/week.js";

const form = need("#availability", HTMLFormElement);
const dirty = need("[data-dirty]", HTMLElement);
const undo = need("[data-undo]", HTMLButtonElement, form);

/** @type {{weekly: (import("./schedule/hours.js").Hours & {weekday: number})[], overrides: {date: string, windows: import("./schedule/hours.js").Hours[]}[], travel: Record<string, string>[], absences: Record<string, string>[]}} */
const given = JSON.parse(form.dataset["rules"] ?? "{}");
const model = new Model({
  weekly: Array.from({ length: 7 }, (_, weekday) => given.weekly.filter((one) => one.weekday === weekday).map(read)),
  days: given.overrides.map((day) => ({ date: day.date, windows: day.windows.map(read) })),
});

const fields = typedHours(form, model);
weekPicture(need("[data-week]", HTMLElement, form), model, (weekday, index) => fields.focus(weekday, index));
const absences = spanRows(form, "absences", given.absences, changed);
const travel = spanRows(form, "travel", given.travel, changed);
const holidays = holidayCalendar(() => {
  month.draw();
});

const month = monthPicture(need("[data-month]", HTMLElement, form), { today: form.dataset["today"] ?? new Date(serverNow()).toISOString().slice(0, 10), mark, choose });
const refresh = preview(body, () => dirty.hidden === true, fault);

/** What is plainly wrong with the hours while they are typed, or "". */
function fault() {
  const days = [...model.state.weekly, ...model.state.days.map((day) => day.windows)];
  // A step is only what the arrows of a field do: 7 minutes are fine.
  const fine = [...form.elements].every((field) => !(field instanceof HTMLInputElement) || field.validity.valid || field.validity.stepMismatch);
  return days.flatMap(faultsOf).find(Boolean) ?? (fine ? "" : "a number is missing or out of range.");
}

/** @param {string} date @returns {import("./schedule/month.js").Mark} */
function mark(date) {
  const away = absences.read().find((span) => span["start"] && span["end"] && (span["start"] ?? "").slice(0, 10) <= date && date < nextDay(span["end"] ?? ""));
  if (away) return { tone: "away", text: away["reason"] ? `away, ${away["reason"]}` : "away" };
  const day = model.day(date);
  const there = travel.read().find((span) => (span["from"] ?? "") <= date && date <= (span["to"] ?? "") && span["from"]);
  const zone = there ? ` in ${(there["timezone"] ?? "").replace(/^.*\//, "").replaceAll("_", " ")}` : "";
  if (day) return day.windows.length > 0 ? { tone: "other", text: day.windows.map(spoken).join(", ") + zone } : { tone: "off", text: "day off" };
  const holiday = holidays.name(date);
  if (holiday) return { tone: "holiday", text: holiday };
  const usual = model.usual(date);
  if (usual.length === 0) return { tone: "none", text: "not available" };
  return { tone: there ? "travel" : "usual", text: usual.map(spoken).join(", ") + zone };
}

/** The first date that is wholly after a wall time. @param {string} wall */
function nextDay(wall) {
  if (wall.endsWith("T00:00")) return wall.slice(0, 10);
  return new Date(Date.parse(`${wall.slice(0, 10)}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
}

/** What can be done about one date. @param {string} date */
function choose(date) {
  const panel = need("[data-day-panel]", HTMLElement, form);
  const day = model.day(date);
  /** @param {string} text @param {() => void} act */
  const button = (text, act) => {
    const made = make("button", { class: "button button-sm", type: "button" }, text);
    made.addEventListener("click", () => {
      act();
      choose(date);
    });
    return made;
  };
  const buttons = [];
  if (!day || day.windows.length > 0) buttons.push(button("Day off", () => set(date, [])));
  if (!day || day.windows.length === 0) {
    buttons.push(
      button("Other hours", () => {
        const usual = model.usual(date);
        set(date, usual.length > 0 ? structuredClone(usual) : [{ start: 540, end: 1020 }]);
        const at = model.state.days.findIndex((one) => one.date === date);
        find(`[data-override][data-at="${at}"] [data-start]`, HTMLInputElement, form)?.focus();
      }),
    );
  }
  if (day) buttons.push(button("As usual", () => model.change((state) => void (state.days = state.days.filter((one) => one.date !== date)))));
  panel.replaceChildren(make("p", {}, make("span", { class: "strong" }, spokenDate(date)), `: ${mark(date).text}`), make("div", { class: "row row-sm" }, ...buttons));
}

/** @param {string} date @param {import("./schedule/hours.js").Span[]} windows */
function set(date, windows) {
  model.change((state) => {
    state.days = [...state.days.filter((one) => one.date !== date), { date, windows }].sort((a, b) => a.date.localeCompare(b.date));
  });
}

/** The rules as they stand in the fields. @returns {Record<string, unknown>} */
function body() {
  const lengths = need("[name=lengths_minutes]", HTMLInputElement, form).value.split(/[\s,;]+/).filter(Boolean);
  return {
    ...values(form),
    weekly: model.state.weekly.flatMap((spans, weekday) => spans.map((span) => ({ weekday, ...written(span) }))),
    overrides: model.state.days.map((day) => ({ date: day.date, windows: day.windows.map(written) })),
    lengths_minutes: lengths.map((one) => (/^\d+$/.test(one) ? Number(one) : one)),
    holidays: holidays.read(),
    travel: travel.read(),
    absences: absences.read().map((span) => ({ ...span, start: (span["start"] ?? "").slice(0, 16), end: (span["end"] ?? "").slice(0, 16) })),
  };
}

function changed() {
  dirty.hidden = false;
  undo.disabled = !model.undoable;
  month.draw();
  refresh();
}

model.watch(changed);
undo.addEventListener("click", () => model.undo());
form.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key !== "z" || origin(event, "input, textarea, select")) return;
  event.preventDefault();
  model.undo();
});
form.addEventListener("input", (event) => {
  if (!origin(event, "[data-window], [data-override], [data-spans]")) changed();
});
window.addEventListener("beforeunload", (event) => {
  if (!dirty.hidden) event.preventDefault();
});

form.addEventListener("submit", () => {
  if (localFaults(form, model)) return;
  void busy(find("[data-save]", HTMLElement), () => submit(form, body()));
});
form.addEventListener("api:done", () => {
  dirty.hidden = true;
  refresh();
});
form.addEventListener("api:refused", (event) => {
  if (!(event instanceof CustomEvent) || !(event.detail instanceof Problem)) return;
  for (const { field, message } of event.detail.errors) placeFault(form, model, field, message);
});

const terms = need("#terms", HTMLFormElement);
terms.addEventListener("submit", () => {
  void submit(terms, { ...values(terms), instant_approval: need("[name=instant_approval]", HTMLInputElement, terms).checked });
});
