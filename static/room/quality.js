// @ts-check
/** How good this person's own line is, as the server judges it: bars, words, and what is to blame. */

import { need } from "../js/dom.js";

/** @import { Quality } from "./protocol.js" */

const LEVELS = /** @type {const} */ ({ 1: "poor", 2: "poor", 3: "uneven", 4: "good", 5: "good" });
/** @type {Record<"uplink"|"downlink"|"server", [who: string, why: string]>} */
const CAUSES = {
  uplink: ["Your connection", "What you send arrives late or not at all, so others may not see or hear you well."],
  downlink: ["Your connection", "What others send reaches you late or not at all, so you may not see or hear them well."],
  server: ["The call", "The server is busy. There is nothing wrong on your side."],
};

/** @param {HTMLElement} place with data-quality, a text and a longer one @param {Quality|null} quality */
export function showQuality(place, quality) {
  const level = quality === null ? "none" : LEVELS[quality.score];
  const [who, why] = quality?.cause ? CAUSES[quality.cause] : ["Your connection", ""];
  const words = level === "none" ? "Measuring your connection" : `${who} is ${level}`;
  place.dataset["quality"] = level;
  place.dataset["cause"] = quality?.cause ?? "";
  need("[data-quality-words]", HTMLElement, place).textContent = words;
  need("[data-quality-why]", HTMLElement, place).textContent = level === "none" ? `${words}…` : `${words}. ${why}`;
}
