// @ts-check
// What every page does: theme, account menu, forms, dialogs, countdowns, messages from the page before.
import { startCountdowns } from "./countdown.js";
import { all, find, origin } from "./dom.js";
import { enhanceDialogs, enhanceForms } from "./forms.js";
import { startBell } from "./live.js";
import { forget } from "./push.js";
import { showFlash } from "./toast.js";

const LEAVE_WITHIN = 2000; // ms for switching push messages off before a logout

const root = document.documentElement;

for (const button of all("[data-theme-toggle]", HTMLButtonElement)) {
  button.addEventListener("click", () => {
    const systemDark = window.matchMedia("(prefers-color-scheme: dark)").matches;
    const dark = root.dataset["theme"] ? root.dataset["theme"] === "dark" : systemDark;
    const next = dark ? "light" : "dark";
    root.dataset["theme"] = next;
    try {
      window.localStorage.setItem("visavis-theme", next);
    } catch {
      // Not kept, but applied.
    }
  });
}

for (const menu of all("details[data-menu]", HTMLDetailsElement)) {
  document.addEventListener("click", (event) => {
    if (event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    find("summary", HTMLElement, menu)?.focus();
  });
}

/** The browser knows where its reader is; the server only guesses. */
for (const select of all("select[data-guess-zone]", HTMLSelectElement)) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if ([...select.options].some((option) => option.value === zone)) select.value = zone;
}

// Whoever is not logged in still reads times in the right zone, from the second page on (SameSite, no identity in it).
document.cookie = `visavis-zone=${encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone)}; path=/; max-age=31536000; SameSite=Lax`;

document.addEventListener("change", (event) => {
  const control = origin(event, "[data-submit-on-change]");
  if (control instanceof HTMLSelectElement || control instanceof HTMLInputElement) control.form?.requestSubmit();
});

document.addEventListener("click", (event) => {
  const reveal = origin(event, "[data-reveal]");
  if (reveal) {
    const input = find(`#${CSS.escape(reveal.dataset["reveal"] ?? "")}`, HTMLInputElement);
    if (!input) return;
    const show = input.type === "password";
    input.type = show ? "text" : "password";
    reveal.textContent = show ? "Hide" : "Show";
    reveal.setAttribute("aria-pressed", String(show));
  }
  const demo = origin(event, "[data-fill-email]");
  if (demo) {
    const form = find("form[data-login]", HTMLFormElement);
    const email = form && find("[name=email]", HTMLInputElement, form);
    const password = form && find("[name=password]", HTMLInputElement, form);
    if (!form || !email || !password) return;
    email.value = demo.dataset["fillEmail"] ?? "";
    password.value = demo.dataset["fillPassword"] ?? "";
    form.requestSubmit();
  }
});

enhanceForms();
enhanceDialogs();
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.getAttribute("action") !== "/logout" || form.dataset["left"]) return;
  event.preventDefault();
  form.dataset["left"] = "yes";
  // Whatever becomes of it, the logout follows; a push service that hangs must not hold it up.
  void Promise.race([forget().catch(() => undefined), new Promise((done) => window.setTimeout(done, LEAVE_WITHIN))]).then(() => form.submit());
});

startCountdowns();
showFlash();
startBell();
