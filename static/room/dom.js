// @ts-check
// What the room needs beyond static/js/dom.js: icons of the template's sprite, initials, clockwork.

/** A picture from the template's sprite. @param {string} name @returns {SVGSVGElement} */
export function icon(name) {
  const sprite = document.querySelector("template[data-icons]");
  const found = sprite instanceof HTMLTemplateElement ? sprite.content.querySelector(`.icon-${name}`) : null;
  if (!(found instanceof SVGSVGElement)) throw new Error(`no icon ${name}`);
  const copy = found.cloneNode(true);
  if (!(copy instanceof SVGSVGElement)) throw new Error("unreachable");
  return copy;
}

/** One or two letters for somebody without a picture. @param {string} name */
export function initials(name) {
  const words = name.split(/\s+/).filter((w) => /^[\p{L}\p{N}]/u.test(w));
  const first = words[0], last = words.at(-1);
  if (first === undefined || last === undefined) return "?";
  return (firstLetter(first) + (words.length > 1 ? firstLetter(last) : "")).toUpperCase();
}

/** @param {string} word */
function firstLetter(word) {
  return String.fromCodePoint(word.codePointAt(0) ?? 63);
}

/** `4:05`, `1:02:09`. @param {number} seconds */
export function clockwork(seconds) {
  const total = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
