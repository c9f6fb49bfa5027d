// @ts-check
// Short messages at the edge of the page, read aloud by screen readers, optionally with an undo.
import { make, need } from "./dom.js";

const STAY = 6000; // ms; longer when there is something to press
const STAY_WITH_ACTION = 12_000;
const MOST = 3;
const FLASH = "visavis-flash";

/**
 * @param {string} text
 * @param {{tone?: "good" | "bad", action?: string, onAction?: () => void}} [options]
 */
export function toast(text, options = {}) {
  const host = need("#toasts", HTMLElement);
  const box = make("div", { class: `toast${options.tone === "bad" ? " toast-bad" : ""}` }, make("p", {}, text));
  const close = () => box.remove();
  const { action, onAction } = options;
  if (action && onAction) {
    const button = make("button", { type: "button" }, action);
    button.addEventListener("click", () => {
      close();
      onAction();
    });
    box.append(button);
  }
  const cross = make("button", { type: "button", class: "toast-close", "aria-label": "Dismiss" }, "×");
  cross.addEventListener("click", close);
  box.append(cross);
  while (host.children.length >= MOST) host.firstElementChild?.remove();
  host.append(box);
  // Above an open modal dialog only the top layer is visible.
  if (typeof host.showPopover === "function") {
    host.popover = "manual";
    if (host.matches(":popover-open")) host.hidePopover();
    host.showPopover();
  }
  let timer = 0;
  const start = () => (timer = window.setTimeout(close, action ? STAY_WITH_ACTION : STAY));
  box.addEventListener("mouseenter", () => window.clearTimeout(timer));
  box.addEventListener("focusin", () => window.clearTimeout(timer));
  box.addEventListener("mouseleave", start);
  box.addEventListener("focusout", start);
  start();
}

/**
 * Say something on the next page.
 * @param {string} text
 */
export function flash(text) {
  try {
    window.sessionStorage.setItem(FLASH, text);
  } catch {
    // No storage, no message: what was done is visible on the page anyway.
  }
}

/** Show what the previous page wanted to say. */
export function showFlash() {
  try {
    const text = window.sessionStorage.getItem(FLASH);
    if (!text) return;
    window.sessionStorage.removeItem(FLASH);
    toast(text);
  } catch {
    // As above.
  }
}
