// @ts-check
// A month of days as a grid of buttons: what is closed or different on which date; arrow keys move between the days.
import { make, origin } from "../dom.js";

/** @typedef {{tone: string, text: string}} Mark tone: usual, other, off, holiday, away or none */

const DAY_MS = 86_400_000;

/** @param {Date} day @returns {string} */
export function iso(day) {
  return day.toISOString().slice(0, 10);
}

/** @param {string} date */
export function spokenDate(date) {
  return new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" }).format(new Date(`${date}T00:00:00Z`)).replace(",", "");
}

/**
 * @param {HTMLElement} host
 * @param {{today: string, mark: (date: string) => Mark, choose: (date: string) => void, show?: (first: string, last: string) => void}} options
 */
export function monthPicture(host, options) {
  let chosen = options.today;
  const title = make("p", { class: "strong", "aria-live": "polite" });
  const earlier = make("button", { class: "button button-icon button-quiet", type: "button", "aria-label": "Earlier month" }, "‹");
  const later = make("button", { class: "button button-icon button-quiet", type: "button", "aria-label": "Later month" }, "›");
  const grid = make("div", { class: "month-grid", role: "group", "aria-label": "Month" });
  host.replaceChildren(make("div", { class: "week-nav" }, earlier, title, later), grid);

  /** @param {number} months */
  function turn(months) {
    const at = new Date(`${chosen}T00:00:00Z`);
    const day = at.getUTCDate();
    at.setUTCDate(1);
    at.setUTCMonth(at.getUTCMonth() + months);
    const last = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 0)).getUTCDate();
    at.setUTCDate(Math.min(day, last));
    chosen = iso(at);
    draw();
  }
  earlier.addEventListener("click", () => turn(-1));
  later.addEventListener("click", () => turn(1));

  function draw() {
    const at = new Date(`${chosen}T00:00:00Z`);
    const first = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1));
    const last = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 0));
    title.textContent = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" }).format(first);
    const cells = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"].map((name) => make("span", { class: "month-name", "aria-hidden": "true" }, name));
    for (let n = 0; n < (first.getUTCDay() + 6) % 7; n += 1) cells.push(make("span", {}));
    for (let day = first.getTime(); day <= last.getTime(); day += DAY_MS) {
      const date = iso(new Date(day));
      const { tone, text } = options.mark(date);
      const button = make(
        "button",
        { class: `month-day month-${tone}`, type: "button", "data-day": date, tabindex: date === chosen ? "0" : "-1", "aria-pressed": String(date === chosen), "aria-label": `${spokenDate(date)}: ${text}` },
        make("span", { class: "month-number" }, String(new Date(day).getUTCDate())),
        make("span", { class: "month-text", "aria-hidden": "true" }, text),
      );
      if (date === options.today) button.setAttribute("aria-current", "date");
      cells.push(button);
    }
    const inside = grid.contains(document.activeElement);
    grid.replaceChildren(...cells);
    if (inside) focus();
    options.show?.(iso(first), iso(last));
  }

  function focus() {
    const button = grid.querySelector(`[data-day="${chosen}"]`);
    if (button instanceof HTMLElement) button.focus();
  }

  grid.addEventListener("click", (event) => {
    const date = origin(event, "[data-day]")?.dataset["day"];
    if (!date) return;
    chosen = date;
    draw();
    options.choose(date);
  });
  grid.addEventListener("keydown", (event) => {
    /** @type {Record<string, number>} */
    const days = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };
    const by = days[event.key];
    if (by !== undefined) {
      chosen = iso(new Date(Date.parse(`${chosen}T00:00:00Z`) + by * DAY_MS));
      draw();
    } else if (event.key === "PageUp" || event.key === "PageDown") turn(event.key === "PageUp" ? -1 : 1);
    else return;
    event.preventDefault();
    focus();
  });
  draw();
  return { draw, chosen: () => chosen };
}
