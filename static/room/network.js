// @ts-check
/** Notices that this device has come online, or moved from one network to another. */

/** @param {() => void} changed */
export function onNetworkChange(changed) {
  window.addEventListener("online", changed);
  window.addEventListener("offline", changed);
  // Not in every browser, and not in TypeScript's DOM library.
  const link = /** @type {Navigator & {connection?: EventTarget & {type?: string}}} */ (navigator).connection;
  let type = link?.type;
  link?.addEventListener("change", () => {
    // It also tells of every new guess at the speed, which is nothing to us.
    if (link.type === type) return;
    type = link.type;
    changed();
  });
}
