// @ts-check
/** Watches a call: how good the connection is, and whose voice is loudest. */

import { need } from "../js/dom.js";

/** @import { Call } from "./call.js" */

const EVERY = 3000;
const WORDS = { good: "Good connection", fair: "Connection is uneven", poor: "Connection is poor" };

/**
 * @param {HTMLElement} place with data-quality and a text for it
 * @param {() => Call|null} current
 * @returns {() => void} stops watching
 */
export function watchQuality(place, current) {
  const timer = window.setInterval(async () => {
    const found = await current()?.quality();
    if (!found) {
      place.dataset["quality"] = "none";
      return;
    }
    place.dataset["quality"] = found.quality;
    need("[data-quality-words]", HTMLElement, place).textContent = WORDS[found.quality];
    place.title = `${WORDS[found.quality]}: ${Math.round(found.rtt * 1000)} ms, ${(found.loss * 100).toFixed(1)} % lost`;
  }, EVERY);
  return () => window.clearInterval(timer);
}
