// @ts-check
// What mentees in some zone would see of rules that may not be saved yet.
import { call, Problem } from "../api.js";
import { clock, make, need, serverNow, zoneName } from "../dom.js";
import { option } from "./fields.js";

const DAYS = 14;
const PAUSE = 400; // ms after the last change

/**
 * @param {() => Record<string, unknown>} rules
 * @param {() => boolean} saved
 * @param {() => string} fault what is plainly wrong with the rules, or ""
 */
export function preview(rules, saved, fault) {
  const place = need("[data-preview]", HTMLElement);
  const note = need("[data-preview-note]", HTMLElement);
  const zones = need("[data-preview-zone]", HTMLSelectElement);
  const lengths = need("[data-preview-length]", HTMLSelectElement);
  let timer = 0;
  let asked = 0;

  /** @param {Record<string, unknown>} body */
  function offer(body) {
    const all = [body["slot_minutes"], ...(Array.isArray(body["lengths_minutes"]) ? body["lengths_minutes"] : [])];
    const known = [...new Set(all.filter((one) => typeof one === "number"))];
    const chosen = lengths.value;
    lengths.replaceChildren(...known.map((one) => option(`${one} minutes`, String(one))));
    if (known.map(String).includes(chosen)) lengths.value = chosen;
    need("[data-preview-lengths]", HTMLElement).hidden = known.length < 2;
    return Number(lengths.value);
  }

  async function show() {
    const mine = ++asked;
    const body = rules();
    const length = offer(body);
    const zone = zones.value;
    const wrong = fault();
    if (wrong) {
      place.replaceChildren(make("p", { class: "small muted" }, `Not yet: ${wrong}`));
      return;
    }
    const from = new Date(serverNow()).toISOString();
    const to = new Date(serverNow() + DAYS * 86_400_000).toISOString();
    note.textContent = `The next two weeks${saved() ? "" : ", with what is not saved yet"}.`;
    try {
      /** @type {{slots: {start: string, end: string}[]}} */
      const { slots } = await call("POST", "/me/availability/preview", { rules: body, from, to, tz: zone, ...(length ? { length } : {}) });
      if (mine !== asked) return;
      const dayName = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: zone });
      /** @type {Map<string, string[]>} */
      const days = new Map();
      for (const slot of slots) {
        const day = dayName.format(new Date(slot.start));
        days.set(day, [...(days.get(day) ?? []), clock(slot.start, zone)]);
      }
      const first = slots[0];
      if (!first) {
        place.replaceChildren(make("p", { class: "small muted" }, "No open times with these rules."));
        return;
      }
      place.replaceChildren(
        make("p", { class: "small strong" }, `${slots.length} open time${slots.length === 1 ? "" : "s"}, in ${zoneName(first.start, zone)}`),
        ...[...days].map(([day, times]) =>
          make("div", { class: "preview-day" }, make("span", { class: "small" }, day), make("span", { class: "chips" }, ...times.map((time) => make("span", { class: "chip" }, time)))),
        ),
      );
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (mine !== asked) return;
      const first = problem.errors[0];
      place.replaceChildren(make("p", { class: "small muted" }, first ? `Not yet: ${first.message}` : problem.message));
    }
  }

  function soon() {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => void show(), PAUSE);
  }
  zones.addEventListener("change", () => void show());
  lengths.addEventListener("change", () => void show());
  void show();
  return soon;
}
