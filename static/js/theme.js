// @ts-check
// Applies the reader's light or dark choice before the first paint: loaded in <head> without defer, so nothing flashes.
(() => {
  try {
    const chosen = window.localStorage.getItem("visavis-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is closed to us (a private window): the system's choice stands.
  }
})();
