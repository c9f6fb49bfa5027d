// @ts-check
// A mentor's hours while they are edited: one model behind the fields and the pictures, with every step kept for undo.

/** @typedef {{start: number, end: number}} Span minutes of the wall clock; beyond 1440 is the next day; NaN is not filled in */
/** @typedef {{date: string, windows: Span[]}} Day */
/** @typedef {{weekly: Span[][], days: Day[]}} State weekly[0] is Monday */
/** @typedef {{start: string, end: string, ends_next_day?: boolean}} Hours as the API writes them */

export const DAY = 1440;
export const STEP = 15;
export const NAMES = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const KEPT = 100; // steps that can be undone

/** Minutes of "HH:MM", NaN for an empty field. @param {string} text */
export function minutes(text) {
  const [hours = NaN, mins = NaN] = text.split(":").map(Number);
  return text === "" ? NaN : hours * 60 + mins;
}

/** As a time field shows it: midnight at the end is 00:00. @param {number} total */
export function asTime(total) {
  if (Number.isNaN(total)) return "";
  return `${String(Math.floor(total / 60) % 24).padStart(2, "0")}:${String(total % 60).padStart(2, "0")}`;
}

/** @param {Span} span */
export function spoken(span) {
  const end = span.end === DAY ? "24:00" : asTime(span.end);
  return `${asTime(span.start)}–${end}${span.end > DAY ? " the next day" : ""}`;
}

/** @param {Span} span @returns {Hours} */
export function written(span) {
  if (span.end > DAY) return { start: asTime(span.start), end: asTime(span.end), ends_next_day: true };
  return { start: asTime(span.start), end: span.end === DAY ? "24:00" : asTime(span.end) };
}

/** @param {Hours} hours @returns {Span} */
export function read(hours) {
  return { start: minutes(hours.start), end: minutes(hours.end) + (hours.ends_next_day ? DAY : 0) };
}

/** @param {Span} span */
export function whole(span) {
  return span.start < span.end && span.start >= 0;
}

/** The usual faults of one day's windows, one text per window, before the server is asked. @param {Span[]} spans */
export function faultsOf(spans) {
  return spans.map((span, at) => {
    if (Number.isNaN(span.start) || Number.isNaN(span.end)) return "Give a start and an end.";
    if (span.end <= span.start) return "The end is before the start.";
    if (spans.some((other, n) => n < at && span.start < other.end && other.start < span.end)) return "These hours overlap others of the day.";
    return "";
  });
}

/** Sorted, and what overlaps or touches joined: what somebody means who drags hours onto hours. @param {Span[]} spans */
export function joined(spans) {
  /** @type {Span[]} */
  const left = [];
  for (const span of spans.filter(whole).sort((a, b) => a.start - b.start)) {
    const last = left.at(-1);
    if (last && span.start <= last.end) last.end = Math.max(last.end, span.end);
    else left.push({ ...span });
  }
  return left;
}

export class Model {
  /** @param {State} state */
  constructor(state) {
    this.state = state;
    /** @type {{state: State, what: string}[]} */
    this.past = [];
    /** @type {(() => void)[]} */
    this.listeners = [];
  }

  /** @param {() => void} listener */
  watch(listener) {
    this.listeners.push(listener);
  }

  /**
   * Change a copy; typing on in the same field (`what`) is one step.
   * @param {(state: State) => void} change
   * @param {string} [what]
   */
  change(change, what = "") {
    const next = structuredClone(this.state);
    change(next);
    if (!what || this.past.at(-1)?.what !== what) this.past.push({ state: this.state, what });
    if (this.past.length > KEPT) this.past.shift();
    this.state = next;
    this.tell();
  }

  get undoable() {
    return this.past.length > 0;
  }

  undo() {
    const last = this.past.pop();
    if (!last) return;
    this.state = last.state;
    this.tell();
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  /** @param {string} date YYYY-MM-DD */
  day(date) {
    return this.state.days.find((day) => day.date === date) ?? null;
  }

  /** @param {string} date */
  usual(date) {
    return this.state.weekly[(new Date(`${date}T00:00:00Z`).getUTCDay() + 6) % 7] ?? [];
  }
}
