// @ts-check
// A queue that is worked through by keyboard: j and k move between items, a letter presses the item's button for it
// (data-key), and a letter whose button is in no item (undo) works from anywhere. Never while somebody is typing.
import { all, find } from "./dom.js";

const items = all("[data-queue] [data-item]", HTMLElement);

/** The item that has the focus, or holds it; else the first. */
function current() {
  const active = document.activeElement;
  const held = items.findIndex((item) => active !== null && item.contains(active));
  return held < 0 ? 0 : held;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target instanceof Element && event.target.closest("input, textarea, select, dialog")) return;
  const key = event.key.toLowerCase();
  if (key === "j" || key === "k") {
    const fresh = !items.some((item) => item.contains(document.activeElement));
    const next = fresh ? 0 : current() + (key === "j" ? 1 : -1);
    const item = items[Math.max(0, Math.min(next, items.length - 1))];
    item?.focus();
    item?.scrollIntoView({ block: "nearest" });
    event.preventDefault();
    return;
  }
  if (!/^[a-z]$/.test(key)) return;
  const item = items[current()];
  const button = (item && find(`button[data-key="${key}"]`, HTMLButtonElement, item)) ?? all(`button[data-key="${key}"]`, HTMLButtonElement).find((each) => !each.closest("[data-item]"));
  if (!button) return;
  event.preventDefault();
  button.click();
});

items[0]?.focus({ preventScroll: true });
