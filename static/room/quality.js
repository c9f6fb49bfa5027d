// @ts-check
/** How good this person's own line is, as the server judges it: bars, words, and what is to blame. */

import { need } from "../js/dom.js";

/** @import { Quality } from "./protocol.js" */

const BARS = { 1: "poor", 2: "poor", 3: "fair", 4: "good", 5: "good" };
const WORDS = { poor: "Your connection is poor", fair: "Your connection is uneven", good: "Your connection is good" };
const CAUSES = {
  uplink: "what you send arrives late or not at all, so others may not see or hear you well",
  downlink: "what others send reaches you late or not at all, so you may not see or hear them well",
  server: "the server is busy; there is nothing wrong on your side",
};

/** @param {HTMLElement} place with data-quality, a text and a longer one @param {Quality|null} quality */
export function showQuality(place, quality) {
  const level = quality === null ? "none" : BARS[quality.score];
  const words = quality === null || level === "none" ? "Measuring your connection" : WORDS[/** @type {keyof typeof WORDS} */ (level)];
  place.dataset["quality"] = level;
  place.dataset["cause"] = quality?.cause ?? "";
  need("[data-quality-words]", HTMLElement, place).textContent = words;
  need("[data-quality-why]", HTMLElement, place).textContent = quality?.cause ? `${words}: ${CAUSES[quality.cause]}.` : quality === null ? `${words}…` : `${words}.`;
}
