// @ts-check
// What of the mentor's bookings collides with her rules: shown again after every save.
import { make, need, readerZone, spokenSpan } from "./dom.js";

/** @typedef {{booking_id: string, start: string, end: string, why: string}} Collision */

need("#availability", HTMLFormElement).addEventListener("api:done", (event) => {
  if (!(event instanceof CustomEvent)) return;
  /** @type {Collision[]} */
  const found = event.detail?.collisions ?? [];
  const place = need("[data-collisions]", HTMLElement);
  place.hidden = found.length === 0;
  need("ul", HTMLUListElement, place).replaceChildren(
    ...found.map((it) => make("li", {}, make("a", { href: `/bookings/${it.booking_id}` }, spokenSpan(it.start, it.end, readerZone())), ` ${it.why}`)),
  );
});
