// @ts-check
/** Keeps the screen of a phone from going dark while somebody is in the room. */

/** @returns {() => void} lets it go dark again */
export function stayAwake() {
  if (!("wakeLock" in navigator)) return () => undefined;
  /** @type {WakeLockSentinel|null} */
  let lock = null;
  let wanted = true;
  const ask = async () => {
    if (!wanted || document.hidden || (lock !== null && !lock.released)) return;
    try {
      lock = await navigator.wakeLock.request("screen");
      if (!wanted) void lock.release();
    } catch {
      lock = null; // the battery is low, or the page may not: the call goes on all the same
    }
  };
  // The browser takes it away whenever the page is hidden.
  document.addEventListener("visibilitychange", ask);
  void ask();
  return () => {
    wanted = false;
    document.removeEventListener("visibilitychange", ask);
    void lock?.release();
  };
}
