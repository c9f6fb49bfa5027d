// @ts-check
// What a person is told, and where: only what differs from the page's own state is sent.
import { all, find, need } from "./dom.js";
import { showProblem, submit } from "./forms.js";
import { Problem } from "./api.js";

const form = find("form[data-messages]", HTMLFormElement);

/** @param {HTMLFormElement} form */
function body(form) {
  const boxes = all("input[data-kind]", HTMLInputElement, form).filter((box) => !box.disabled && box.checked !== box.defaultChecked);
  const start = need("[name=quiet_start]", HTMLInputElement, form).value;
  const end = need("[name=quiet_end]", HTMLInputElement, form).value;
  return {
    language: need("[name=language]", HTMLSelectElement, form).value,
    quiet_hours: start || end ? { start, end } : null,
    choices: boxes.map((box) => ({ kind: box.dataset["kind"], channel: box.dataset["channel"], wanted: box.checked })),
  };
}

if (form) {
  form.addEventListener("submit", () => void submit(form, body(form)));
  // What was saved is what the next change differs from.
  form.addEventListener("api:done", () => {
    for (const box of all("input[data-kind]", HTMLInputElement, form)) box.defaultChecked = box.checked;
  });
  // The API's names of the two times are not the form's.
  form.addEventListener("api:refused", (event) => {
    if (!(event instanceof CustomEvent) || !(event.detail instanceof Problem)) return;
    const { status, code, message, errors } = event.detail;
    const named = errors.map((error) => ({ ...error, field: error.field.replace(/^quiet_hours\.(start|end)$/, "quiet_$1") }));
    showProblem(form, new Problem(status, code, message, named));
  });
}
