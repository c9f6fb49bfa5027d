// @ts-check
// The holiday calendar: country and part by name, and its days for the month view.
import { call, Problem } from "../api.js";
import { need } from "../dom.js";
import { option } from "./fields.js";

/** @param {() => void} changed */
export function holidayCalendar(changed) {
  const country = need("[data-country]", HTMLSelectElement);
  const part = need("[data-subdivision]", HTMLSelectElement);
  /** @type {Map<string, Map<string, string> | null>} null: on its way, or there is none */
  const years = new Map();
  let filled = "";
  let wanted = part.dataset["chosen"] ?? "";

  const names = new Intl.DisplayNames("en", { type: "region" });
  for (const one of country.options) if (/^[A-Z]{2}$/.test(one.value)) one.textContent = names.of(one.value) ?? one.value;
  const [none, ...rest] = [...country.options];
  rest.sort((a, b) => (a.textContent ?? "").localeCompare(b.textContent ?? ""));
  const chosen = country.value;
  if (none) country.append(none, ...rest);
  country.value = chosen; // an option that is moved takes the choice along
  if (!country.value) part.disabled = true;

  /** @param {string} year */
  async function fetchYear(year) {
    const key = `${country.value}/${part.value || wanted}/${year}`;
    if (!country.value || years.has(key)) return;
    years.set(key, null);
    try {
      const asked = part.value || wanted;
      /** @type {{days: {date: string, name: string}[], subdivisions: {code: string, name: string}[]}} */
      const found = await call("GET", `/holidays/${country.value}?${new URLSearchParams({ year, ...(asked ? { subdivision: asked } : {}) })}`);
      years.set(key, new Map(found.days.map((day) => [day.date, day.name])));
      if (filled !== country.value) {
        filled = country.value;
        part.replaceChildren(option("The whole country", ""), ...found.subdivisions.map((one) => option(one.name, one.code)));
        part.value = wanted;
        wanted = "";
        part.disabled = found.subdivisions.length === 0;
      }
      changed();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      years.delete(key);
    }
  }

  country.addEventListener("change", () => {
    wanted = "";
    part.replaceChildren(option("The whole country", ""));
    part.disabled = true;
    filled = "";
    changed();
  });
  part.addEventListener("change", changed);
  return {
    /** @returns {{country: string, subdivision: string | null} | null} */
    read: () => (country.value ? { country: country.value, subdivision: part.value || wanted || null } : null),
    /** The holiday's name, and "" for other days (and until the calendar has arrived). @param {string} date */
    name(date) {
      void fetchYear(date.slice(0, 4));
      return years.get(`${country.value}/${part.value || wanted}/${date.slice(0, 4)}`)?.get(date) ?? "";
    },
  };
}
