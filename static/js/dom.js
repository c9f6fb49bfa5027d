// @ts-check
// Small helpers for finding, making and timing things in a page.

/**
 * The first element of a type that matches, or null.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} kind
 * @param {ParentNode} [root]
 * @returns {T | null}
 */
export function find(selector, kind, root = document) {
  const found = root.querySelector(selector);
  return found instanceof kind ? found : null;
}

/**
 * Like `find`, but its absence is a fault of the template.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} kind
 * @param {ParentNode} [root]
 * @returns {T}
 */
export function need(selector, kind, root = document) {
  const found = find(selector, kind, root);
  if (!found) throw new Error(`The page has no ${selector}`);
  return found;
}

/**
 * All elements of a type that match.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} kind
 * @param {ParentNode} [root]
 * @returns {T[]}
 */
export function all(selector, kind, root = document) {
  return [...root.querySelectorAll(selector)].flatMap((e) => (e instanceof kind ? [e] : []));
}

/**
 * Make an element. Text is always text, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * The element that handled an event, if it or an ancestor matches.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export function origin(event, selector) {
  const hit = event.target instanceof Element ? event.target.closest(selector) : null;
  return hit instanceof HTMLElement ? hit : null;
}

/** @param {string} name */
export function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

const served = Date.parse(meta("server-time"));
const offset = Number.isNaN(served) ? 0 : served - performance.timeOrigin;

/** The server's present, in milliseconds since 1970: a reader's clock may be wrong, the countdown must not be. */
export function serverNow() {
  return performance.timeOrigin + performance.now() + offset;
}

/** The IANA zone the page's times are written in. */
export function readerZone() {
  return meta("reader-zone") || "UTC";
}

/**
 * `Tue 24 Nov, 14:00–14:30` in a zone.
 * @param {string} start RFC 3339
 * @param {string} end RFC 3339
 * @param {string} zone
 */
export function spokenSpan(start, end, zone) {
  const day = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", timeZone: zone });
  return `${day.format(new Date(start))}, ${clock(start, zone)}–${clock(end, zone)} ${zoneName(start, zone)}`;
}

/**
 * @param {string} at
 * @param {string} zone
 */
export function clock(at, zone) {
  return new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone }).format(new Date(at));
}

/**
 * @param {string} at
 * @param {string} zone
 */
export function zoneName(at, zone) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "short" }).formatToParts(new Date(at));
  return parts.find((part) => part.type === "timeZoneName")?.value ?? zone;
}

/** @param {number} amount */
export function tokens(amount) {
  return `${amount.toLocaleString("en-GB")} token${amount === 1 ? "" : "s"}`;
}
