// @ts-check
// Rows of spans of time: out of office, and journeys with the zone they lead to.
import { all, make, need, origin } from "../dom.js";
import { toast } from "../toast.js";
import { stamp } from "./fields.js";

/** @typedef {Record<string, string>} Row */
/** @typedef {HTMLInputElement | HTMLSelectElement} Field */

/** @param {HTMLElement} row @returns {Field[]} */
function fieldsOf(row) {
  return [...row.querySelectorAll("[data-field]")].flatMap((e) => (e instanceof HTMLInputElement || e instanceof HTMLSelectElement ? [e] : []));
}

/**
 * @param {HTMLElement} form
 * @param {"absences" | "travel"} kind
 * @param {Row[]} given
 * @param {() => void} changed
 * @returns {{read: () => Row[]}}
 */
export function spanRows(form, kind, given, changed) {
  const list = need(`[data-spans="${kind}"]`, HTMLElement, form);

  /** Faults name an index: so do the fields and the places of their faults. */
  function number() {
    [...list.children].forEach((row, at) => {
      if (!(row instanceof HTMLElement)) return;
      const errors = need(".span-errors", HTMLElement, row);
      errors.replaceChildren();
      for (const field of fieldsOf(row)) {
        field.name = `${kind}.${at}.${field.dataset["field"]}`;
        field.dataset["type"] = "none";
        errors.append(make("p", { class: "error", "data-error-for": field.name }));
      }
    });
  }

  /** @param {Row} [values] */
  function add(values) {
    const row = stamp(`${kind}-template`);
    for (const field of fieldsOf(row)) {
      const value = values?.[field.dataset["field"] ?? ""];
      if (value !== undefined) field.value = value;
    }
    list.append(row);
    number();
    return row;
  }

  form.addEventListener("click", (event) => {
    if (origin(event, `[data-add-span="${kind}"]`)) {
      const row = add();
      fieldsOf(row)[0]?.focus();
      changed();
    }
    const row = origin(event, "[data-remove-span]")?.closest("li");
    if (!row || row.parentElement !== list) return;
    const after = row.nextElementSibling;
    row.remove();
    number();
    changed();
    toast("Removed.", {
      action: "Undo",
      onAction: () => {
        list.insertBefore(row, after?.parentElement === list ? after : null);
        number();
        changed();
      },
    });
  });
  list.addEventListener("input", changed);
  for (const values of given) add(values);
  return {
    read: () => all("li", HTMLElement, list).map((row) => Object.fromEntries(fieldsOf(row).map((field) => [field.dataset["field"] ?? "", field.value]))),
  };
}
