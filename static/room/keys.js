// @ts-check
/** What the keyboard does in the room: shortcuts of one letter, and talking while the space bar is held. */

/**
 * @typedef {{act: Record<string, () => void>, talk: (on: boolean) => void, awake: () => boolean}} Keys
 *   `act` by the key in lower case; `talk` when the space bar goes down and up; `awake` whether keys mean anything now
 */

/** @param {Keys} keys */
export function listen(keys) {
  let talking = false;
  const hush = () => {
    if (talking) keys.talk(false);
    talking = false;
  };
  document.addEventListener("keydown", (event) => {
    if (!keys.awake() || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (writes(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === " ") {
      // On a button or a list the space bar already has a meaning.
      if (event.target instanceof Element && event.target.closest("button, a, summary, [tabindex]")) return;
      event.preventDefault();
      talking = true;
      keys.talk(true);
      return;
    }
    const act = keys.act[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") hush();
  });
  window.addEventListener("blur", hush); // the key goes up where we do not see it
}

/** @param {EventTarget|null} target */
function writes(target) {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}
