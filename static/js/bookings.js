// @ts-check
// A mentor moves a booking: her open times as a list in the dialog.
import { call, Problem } from "./api.js";
import { all, find, make, need, readerZone, serverNow, spokenSpan } from "./dom.js";
import { submit, values } from "./forms.js";

const DAYS = 28; // enough to find another time, few enough to read

/** @param {HTMLSelectElement} select */
async function fill(select) {
  const from = new Date(serverNow()).toISOString();
  const to = new Date(serverNow() + DAYS * 86_400_000).toISOString();
  const zone = readerZone();
  try {
    /** @type {{slots: {start: string, end: string}[]}} */
    const { slots } = await call("GET", `/mentors/${select.dataset["moveSlots"]}/slots?${new URLSearchParams({ from, to, tz: zone, length: select.form?.dataset["minutes"] ?? "" })}`);
    select.replaceChildren(make("option", { value: "" }, slots.length > 0 ? "Choose a time" : "No open times in the next four weeks"));
    for (const slot of slots) select.append(make("option", { value: `${slot.start}/${slot.end}` }, spokenSpan(slot.start, slot.end, zone)));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    select.replaceChildren(make("option", { value: "" }, problem.message));
  }
}

for (const form of all("form[data-move]", HTMLFormElement)) {
  const dialog = form.closest("dialog");
  const select = need("[data-move-slots]", HTMLSelectElement, form);
  let filled = false;
  if (dialog) {
    new MutationObserver(() => {
      if (dialog.open && !filled) {
        filled = true;
        void fill(select);
      }
    }).observe(dialog, { attributes: true, attributeFilter: ["open"] });
  }
  select.addEventListener("change", () => {
    const [start = "", end = ""] = select.value.split("/");
    need("input[name=start]", HTMLInputElement, form).value = start;
    need("input[name=end]", HTMLInputElement, form).value = end;
  });
  form.addEventListener("submit", () => {
    if (!select.value) {
      need("[data-error-for=start]", HTMLElement, form).textContent = "Choose a time.";
      select.setAttribute("aria-invalid", "true");
      select.focus();
      return;
    }
    const place = find("[data-error-for=start]", HTMLElement, form);
    if (place) place.textContent = "";
    void submit(form, values(form));
  });
  form.addEventListener("api:refused", (event) => {
    if (event instanceof CustomEvent && event.detail instanceof Problem && event.detail.status === 409) void fill(select);
  });
}
