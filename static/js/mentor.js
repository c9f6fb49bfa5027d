// @ts-check
// A mentor's page: choose a slot, say what it is about, book (or move) it; when somebody was faster, look again.
import { Problem } from "./api.js";
import { clock, find, need, origin, readerZone } from "./dom.js";
import { submit, values } from "./forms.js";
import { toast } from "./toast.js";

const section = need("[data-slots]", HTMLElement);
const dialog = need("#book", HTMLDialogElement);
const form = need("form", HTMLFormElement, dialog);

/** @param {string} name */
function hidden(name) {
  return need(`input[name="${name}"]`, HTMLInputElement, form);
}

section.addEventListener("click", (event) => {
  const slot = origin(event, "button.slot");
  if (!slot) return;
  const { start = "", end = "" } = slot.dataset;
  hidden("start").value = start;
  hidden("end").value = end;
  // Both texts come from the server, whose names of zones (EDT, CEST) the rest of the page uses.
  const { when = "", theirs = "" } = slot.dataset;
  need("[data-book-when]", HTMLElement, dialog).textContent = when;
  need("[data-book-theirs]", HTMLElement, dialog).textContent = theirs === when ? "In your own time zone" : `There: ${theirs}`;
  need(".form-error", HTMLElement, form).textContent = "";
  dialog.showModal();
  find("input:not([type=hidden]), textarea", HTMLElement, form)?.focus();
});

form.addEventListener("submit", () => void submit(form, values(form)));

form.addEventListener("api:refused", (event) => {
  const problem = event instanceof CustomEvent ? event.detail : null;
  if (!(problem instanceof Problem) || (problem.status !== 409 && !problem.errors.some((e) => e.field === "start"))) return;
  // What is in the way of somebody else is only called Busy; what is in one's own way has its title.
  const own = problem.conflicts.find((conflict) => conflict.title && conflict.title !== "Busy");
  dialog.close();
  toast(own ? `You have something else then: ${own.title}, ${clock(own.start, readerZone())}.` : "Somebody was faster. These are the times that are open now.", { tone: "bad" });
  void refresh();
});

/** Fetch the page again and put its slots in place of ours. */
async function refresh() {
  const body = need("[data-slots-body]", HTMLElement, section);
  body.classList.add("is-loading");
  try {
    const response = await fetch(window.location.href, { credentials: "same-origin", signal: AbortSignal.timeout(20_000) });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("[data-slots-body]");
    if (response.ok && fresh) body.replaceChildren(...fresh.childNodes);
  } catch {
    toast("The open times could not be loaded again. Reload the page.", { tone: "bad" });
  } finally {
    body.classList.remove("is-loading");
  }
}
