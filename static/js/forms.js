// @ts-check
// Forms and buttons that call the API, declared in the markup:
//   <form data-api="POST /bookings" data-done="Booked." data-then="/bookings/{id}">   (data-then="reload" reloads,
//                                                     "refresh" fetches the data-refresh section around it anew)
//   <button data-api="POST /bookings/…/approve" data-done="Approved." data-then="reload">
// Inputs are sent under their names; data-type is int, list (comma separated), instant (local time of data-zone) or none.
import { call, newKey, Problem } from "./api.js";
import { all, find, need, origin } from "./dom.js";
import { flash, toast } from "./toast.js";

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Control */

/** @param {Element} element @returns {element is Control} */
function isControl(element) {
  return element instanceof HTMLInputElement || element instanceof HTMLSelectElement || element instanceof HTMLTextAreaElement;
}

/**
 * The JSON body a form stands for. Empty optional fields are left out.
 * @param {HTMLFormElement} form
 * @returns {Record<string, unknown>}
 */
export function values(form) {
  /** @type {Record<string, unknown>} */
  const body = {};
  for (const control of form.elements) {
    if (!isControl(control) || !control.name || control.disabled || control.name === "csrf_token") continue;
    if (control instanceof HTMLInputElement && (control.type === "radio" || control.type === "checkbox") && !control.checked) continue;
    const text = control.value.trim();
    switch (control.dataset["type"]) {
      case "int":
        if (text !== "") body[control.name] = Number.isNaN(Number(text)) ? text : Number(text);
        break;
      case "list":
        body[control.name] = text.split(",").flatMap((part) => part.trim() || []);
        break;
      case "none":
        break;
      default:
        if (text !== "" || control.dataset["keepEmpty"] !== undefined) body[control.name] = control.value;
    }
  }
  return body;
}

/** @param {HTMLFormElement} form */
export function clearErrors(form) {
  for (const place of all("[data-error-for], .form-error", HTMLElement, form)) place.textContent = "";
  for (const control of all("[aria-invalid]", HTMLElement, form)) control.removeAttribute("aria-invalid");
}

/**
 * Put a refusal where it belongs: each fault beside its field, the rest on top of the form; focus the first.
 * @param {HTMLFormElement} form
 * @param {Problem} problem
 */
export function showProblem(form, problem) {
  clearErrors(form);
  /** @type {string[]} */
  const homeless = [];
  /** @type {HTMLElement | null} */
  let first = null;
  for (const error of problem.errors) {
    const name = error.field.replace(/^body\./, "");
    const place = find(`[data-error-for="${CSS.escape(name)}"]`, HTMLElement, form);
    if (!place) {
      homeless.push(problem.errors.length > 1 ? `${name}: ${error.message}` : error.message);
      continue;
    }
    place.textContent = error.message;
    const control = form.elements.namedItem(name);
    if (control instanceof HTMLElement) {
      control.setAttribute("aria-invalid", "true");
      first ??= control;
    }
  }
  if (problem.errors.length === 0) homeless.push(problem.message);
  const top = find(".form-error", HTMLElement, form);
  if (homeless.length > 0) {
    if (top) top.textContent = homeless.join(" ");
    else toast(homeless.join(" "), { tone: "bad" });
  }
  first?.focus();
}

/**
 * Run `work` with the button busy; a second click meanwhile does nothing.
 * @template T
 * @param {HTMLElement | null} button
 * @param {() => Promise<T>} work
 * @returns {Promise<T | undefined>}
 */
export async function busy(button, work) {
  if (button?.getAttribute("aria-busy") === "true") return undefined;
  button?.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

/**
 * Fetch the page again and put in its place what has changed: the `data-refresh` section around an element. The focus
 * goes to the section's first field, or else to the section, where the screen reader goes on.
 * @param {HTMLElement} element
 */
async function refresh(element) {
  const old = element.closest("[data-refresh]");
  if (!old) return;
  const response = await fetch(window.location.href, { credentials: "same-origin" }).catch(() => null);
  const page = response?.ok ? new DOMParser().parseFromString(await response.text(), "text/html") : null;
  const fresh = page?.getElementById(old.id);
  if (!fresh) {
    window.location.reload();
    return;
  }
  old.replaceWith(fresh);
  const field = find("input[required]", HTMLInputElement, fresh);
  if (field && field.offsetParent !== null) field.focus();
  else {
    fresh.tabIndex = -1;
    fresh.focus();
  }
}

/**
 * @param {HTMLElement} element the form or button
 * @param {any} result
 */
function finish(element, result) {
  const done = element.dataset["done"] ?? "";
  const then = element.dataset["then"] ?? "";
  element.dispatchEvent(new CustomEvent("api:done", { bubbles: true, detail: result }));
  if (then === "refresh") {
    if (done) toast(done);
    void refresh(element);
  } else if (then) {
    if (done) flash(done);
    element.closest("dialog")?.close();
    if (then === "reload") window.location.reload();
    else window.location.assign(then.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(String(result?.[name] ?? ""))));
  } else if (done) {
    element.closest("dialog")?.close();
    toast(done);
  }
}

/** @param {string} declared */
function target(declared) {
  const [method = "POST", path = ""] = declared.split(" ");
  return { method, path };
}

/**
 * Complain beside required fields that are empty; true when there is one.
 * @param {HTMLFormElement} form
 */
function missing(form) {
  const empty = [...form.elements].filter(isControl).filter((control) => control.required && control.value.trim() === "");
  if (empty.length === 0) return false;
  showProblem(form, new Problem(422, "missing", "", empty.map((control) => ({ field: control.name, code: "required", message: "Fill this in." }))));
  return true;
}

/** @type {WeakMap<HTMLElement, string>} one key per intention; a new one after success or a changed form */
const keys = new WeakMap();

/** @param {HTMLElement} element */
function keyOf(element) {
  const known = keys.get(element) ?? newKey();
  keys.set(element, known);
  return known;
}

/**
 * Send a form as its `data-api` says.
 * @param {HTMLFormElement} form
 * @param {Record<string, unknown>} [body]
 */
export async function submit(form, body = values(form)) {
  const button = find("[type=submit]", HTMLButtonElement, form);
  const { method, path } = target(form.dataset["api"] ?? "");
  if (missing(form)) return;
  await busy(button, async () => {
    clearErrors(form);
    try {
      const result = await call(method, path, body, method === "POST" ? { key: keyOf(form) } : {});
      keys.delete(form);
      finish(form, result);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.status !== 0) keys.delete(form);
      showProblem(form, problem);
      form.dispatchEvent(new CustomEvent("api:refused", { bubbles: true, detail: problem }));
    }
  });
}

export function enhanceForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement)) return;
    if (form.dataset["api"] !== undefined) {
      event.preventDefault();
      if (form.dataset["own"] === undefined) void submit(form);
    } else if (form.method === "post") {
      find("[type=submit]", HTMLButtonElement, form)?.setAttribute("aria-busy", "true");
    }
  });
  document.addEventListener("input", (event) => {
    const control = event.target;
    if (!(control instanceof Element) || !isControl(control) || !control.form) return;
    keys.delete(control.form);
    if (control.hasAttribute("aria-invalid")) {
      control.removeAttribute("aria-invalid");
      const place = find(`[data-error-for="${CSS.escape(control.name)}"]`, HTMLElement, control.form);
      if (place) place.textContent = "";
    }
  });
  document.addEventListener("click", (event) => {
    const button = origin(event, "button[data-api]");
    if (!button) return;
    const { method, path } = target(button.dataset["api"] ?? "");
    void busy(button, async () => {
      try {
        finish(button, await call(method, path, {}, { key: keyOf(button) }));
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        keys.delete(button);
        toast(problem.message, { tone: "bad" });
      }
    });
  });
  // A page restored from the back/forward cache must not come back with a spinning button.
  window.addEventListener("pageshow", () => {
    for (const button of all("button[aria-busy=true]", HTMLButtonElement)) button.removeAttribute("aria-busy");
  });
}

/** Dialogs: `data-opens="id"` opens, `data-close` and a click on the backdrop close; focus returns by itself. */
export function enhanceDialogs() {
  document.addEventListener("click", (event) => {
    const opener = origin(event, "[data-opens]");
    if (opener) {
      const dialog = need(`#${CSS.escape(opener.dataset["opens"] ?? "")}`, HTMLDialogElement);
      dialog.showModal();
      return;
    }
    const dialog = event.target instanceof HTMLDialogElement ? event.target : null;
    if (dialog) {
      const box = dialog.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside) dialog.close();
      return;
    }
    if (origin(event, "[data-close]")) origin(event, "dialog")?.dispatchEvent(new CustomEvent("close:asked"));
  });
  for (const dialog of all("dialog", HTMLDialogElement)) dialog.addEventListener("close:asked", () => dialog.close());
}
