// @ts-check
// The week as a picture: windows are made, moved and stretched with a pointer or the arrow keys, in steps of 15 minutes.
import { make, origin } from "../dom.js";
import { DAY, joined, NAMES, spoken, STEP, whole } from "./hours.js";

/** @typedef {import("./hours.js").Span} Span */
/** @typedef {import("./hours.js").Model} Model */
/** @typedef {{weekday: number, index: number, span: Span}} Block index -1: it is being made */
/** @typedef {{mode: "make" | "move" | "start" | "end", from: Block, now: Block, grabbed: number, touch: boolean, moved: boolean}} Drag */

const HOUR = 44; // px
const WORKING = [8, 18]; // the hours that are always shown
const LATEST = DAY + 6 * 60; // how far into the next morning a window can be dragged

/**
 * @param {HTMLElement} host
 * @param {Model} model
 * @param {(weekday: number, index: number) => void} edit go to the fields of a window
 */
export function weekPicture(host, model, edit) {
  let everything = false;
  /** @type {Drag | null} */
  let drag = null;
  /** @type {[number, number]} */
  let shown = [0, 24];

  const toggle = make("button", { class: "button button-quiet button-sm", type: "button", "aria-pressed": "false" }, "Show all 24 hours");
  const grid = make("div", { class: "week-grid", role: "group", "aria-label": "Week", "aria-describedby": "week-help" });
  host.replaceChildren(grid, toggle);
  toggle.addEventListener("click", () => {
    everything = !everything;
    toggle.setAttribute("aria-pressed", String(everything));
    toggle.textContent = everything ? "Show working hours only" : "Show all 24 hours";
    draw();
  });

  function span() {
    let [first = 8, last = 18] = WORKING;
    if (everything) return /** @type {[number, number]} */ ([0, 24]);
    for (const one of model.state.weekly.flat().filter(whole)) {
      first = Math.min(first, Math.floor(one.start / 60));
      last = Math.max(last, Math.ceil(Math.min(one.end, DAY) / 60));
      if (one.end > DAY) first = 0;
    }
    return /** @type {[number, number]} */ ([first, last]);
  }

  function draw() {
    if (!drag) shown = span();
    const focused = document.activeElement instanceof HTMLElement && grid.contains(document.activeElement) ? document.activeElement.dataset["block"] : undefined;
    const [first, last] = shown;
    const ruler = make("div", { class: "week-hours", "aria-hidden": "true" });
    for (let hour = first; hour < last; hour += 1) ruler.append(make("span", {}, `${String(hour).padStart(2, "0")}:00`));
    const columns = NAMES.map((name, weekday) => {
      const column = make("div", { class: "week-column", "data-column": String(weekday) });
      column.style.height = `${(last - first) * HOUR}px`;
      for (const block of blocks(weekday)) column.append(...pictures(block, first, last, name));
      for (const block of blocks((weekday + 6) % 7)) {
        if (block.span.end > DAY) column.append(place(make("div", { class: "week-tail", "aria-hidden": "true" }), 0, block.span.end - DAY, first, last));
      }
      return make("div", { class: "week-day" }, make("p", { class: "week-name", "aria-hidden": "true" }, make("span", {}, name.slice(0, 3))), column);
    });
    grid.replaceChildren(ruler, ...columns);
    if (focused) find(focused)?.focus();
  }

  /** @param {number} weekday @returns {Block[]} */
  function blocks(weekday) {
    const own = (model.state.weekly[weekday] ?? []).map((one, index) => ({ weekday, index, span: one }));
    const left = own.filter((block) => whole(block.span) && !(drag && drag.from.weekday === weekday && drag.from.index === block.index));
    if (drag && drag.moved && drag.now.weekday === weekday) left.push(drag.now);
    else if (drag && !drag.moved && drag.from.weekday === weekday && drag.from.index >= 0) left.push(drag.from);
    return left;
  }

  /** @param {Block} block @param {number} first @param {number} last @param {string} name */
  function pictures(block, first, last, name) {
    const box = make(
      "div",
      { class: "week-block", role: "button", tabindex: "0", "data-block": `${block.weekday}.${block.index}`, "aria-label": `${name}, ${spoken(block.span)}` },
      make("span", { class: "week-edge", "data-edge": "start" }),
      make("span", { class: "week-text" }, spoken(block.span).replace(" the next day", "+1")),
      make("span", { class: "week-edge", "data-edge": "end" }),
    );
    if (drag && block === drag.now) box.classList.add("is-dragged");
    return [place(box, block.span.start, Math.min(block.span.end, DAY), first, last)];
  }

  /** @param {HTMLElement} box @param {number} start @param {number} end @param {number} first @param {number} last */
  function place(box, start, end, first, last) {
    const top = Math.max(start, first * 60) - first * 60;
    const bottom = Math.min(end, last * 60) - first * 60;
    box.style.top = `${(top / 60) * HOUR}px`;
    box.style.height = `${(Math.max(bottom - top, 0) / 60) * HOUR}px`;
    box.hidden = bottom <= top;
    return box;
  }

  /** @param {string} key */
  function find(key) {
    const box = grid.querySelector(`[data-block="${key}"]`);
    return box instanceof HTMLElement ? box : null;
  }

  /** @param {PointerEvent} event @returns {{weekday: number, minute: number}} */
  function under(event) {
    const columns = [...grid.querySelectorAll("[data-column]")];
    let weekday = 0;
    columns.forEach((column, at) => {
      if (event.clientX >= column.getBoundingClientRect().left) weekday = at;
    });
    const top = columns[0]?.getBoundingClientRect().top ?? 0;
    return { weekday, minute: shown[0] * 60 + ((event.clientY - top) / HOUR) * 60 };
  }

  /** @param {number} minute @param {number} low @param {number} high */
  function snapped(minute, low, high) {
    return Math.min(Math.max(Math.round(minute / STEP) * STEP, low), high);
  }

  grid.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const column = origin(event, "[data-column]");
    if (!column) return;
    const at = under(event);
    const box = origin(event, "[data-block]");
    const touch = event.pointerType === "touch";
    if (box) {
      const [weekday = 0, index = 0] = (box.dataset["block"] ?? "").split(".").map(Number);
      const one = model.state.weekly[weekday]?.[index];
      if (!one) return;
      const edge = origin(event, "[data-edge]")?.dataset["edge"];
      const block = { weekday, index, span: { ...one } };
      drag = { mode: edge === "start" ? "start" : edge === "end" ? "end" : "move", from: block, now: structuredClone(block), grabbed: at.minute, touch: false, moved: false };
      box.focus();
    } else {
      const start = Math.min(Math.max(Math.floor(at.minute / STEP) * STEP, 0), DAY - STEP);
      const block = { weekday: at.weekday, index: -1, span: { start, end: start + STEP } };
      drag = { mode: "make", from: block, now: structuredClone(block), grabbed: start, touch, moved: false };
    }
    // A finger on an empty place may mean to scroll: only a tap makes hours there.
    if (!drag.touch) {
      grid.setPointerCapture(event.pointerId);
      event.preventDefault();
    }
  });

  grid.addEventListener("pointermove", (event) => {
    if (!drag || drag.touch) return;
    const at = under(event);
    const { mode, from, now, grabbed } = drag;
    const before = JSON.stringify(now);
    const length = from.span.end - from.span.start;
    if (mode === "make") {
      const other = snapped(at.minute, 0, LATEST);
      now.span = other < grabbed ? { start: other, end: grabbed + STEP } : { start: grabbed, end: Math.max(other, grabbed + STEP) };
    } else if (mode === "move") {
      const start = snapped(from.span.start + at.minute - grabbed, 0, DAY - STEP);
      now.span = { start, end: start + length };
      now.weekday = at.weekday;
    } else if (mode === "start") {
      now.span = { start: snapped(at.minute, 0, Math.min(from.span.end, DAY) - STEP), end: from.span.end };
    } else {
      now.span = { start: from.span.start, end: snapped(at.minute, from.span.start + STEP, Math.min(from.span.start + DAY, LATEST)) };
    }
    if (JSON.stringify(now) !== before) {
      drag.moved = true;
      draw();
    }
  });

  grid.addEventListener("pointerup", () => {
    const done = drag;
    drag = null;
    if (!done) return;
    if (done.mode === "make" && !done.moved) {
      const start = Math.floor(done.grabbed / 30) * 30;
      done.now.span = { start, end: Math.min(start + 60, DAY) };
    } else if (!done.moved) return;
    settle(done.from, done.now);
  });
  grid.addEventListener("pointercancel", () => {
    drag = null;
    draw();
  });

  /** Put a window where it was dropped; what it touches becomes one with it. @param {Block} from @param {Block} to */
  function settle(from, to) {
    model.change((state) => {
      if (from.index >= 0) state.weekly[from.weekday]?.splice(from.index, 1);
      state.weekly[to.weekday] = joined([...(state.weekly[to.weekday] ?? []), to.span]);
    });
    const index = (model.state.weekly[to.weekday] ?? []).findIndex((one) => one.start <= to.span.start && to.span.end <= one.end);
    find(`${to.weekday}.${index}`)?.focus();
  }

  grid.addEventListener("keydown", (event) => {
    const box = origin(event, "[data-block]");
    if (!box) return;
    const [weekday = 0, index = 0] = (box.dataset["block"] ?? "").split(".").map(Number);
    const one = model.state.weekly[weekday]?.[index];
    if (!one) return;
    const from = { weekday, index, span: one };
    const to = structuredClone(from);
    const step = event.key === "ArrowUp" ? -STEP : STEP;
    switch (event.key) {
      case "ArrowUp":
      case "ArrowDown":
        if (event.shiftKey) to.span.end = Math.min(Math.max(one.end + step, one.start + STEP), one.start + DAY);
        else {
          to.span.start = Math.min(Math.max(one.start + step, 0), DAY - STEP);
          to.span.end = to.span.start + one.end - one.start;
        }
        break;
      case "ArrowLeft":
      case "ArrowRight":
        to.weekday = (weekday + (event.key === "ArrowLeft" ? 6 : 1)) % 7;
        break;
      case "Delete":
      case "Backspace":
        model.change((state) => state.weekly[weekday]?.splice(index, 1));
        event.preventDefault();
        return;
      case "Enter":
      case " ":
        edit(weekday, index);
        event.preventDefault();
        return;
      default:
        return;
    }
    event.preventDefault();
    settle(from, to);
  });

  model.watch(draw);
  draw();
}
