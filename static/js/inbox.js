// @ts-check
// The inbox page: it shows what comes while it is open, and marks all as read without going anywhere.
import { call, Problem } from "./api.js";
import { find, meta, origin } from "./dom.js";
import { show } from "./live.js";
import { toast } from "./toast.js";

const HOST = "#inbox";
let asked = 0;

/** The same page again, as the server writes it; whoever had the focus keeps it. */
async function refresh() {
  const mine = ++asked;
  const response = await fetch(window.location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  if (!response.ok || mine !== asked) return; // a later one is on its way
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(HOST);
  const old = find(HOST, HTMLElement);
  if (!fresh || !old) return;
  const focused = document.activeElement?.closest(HOST) ? (document.activeElement.id || "main") : null;
  // Its form belongs to the same login: the token is the same.
  old.replaceWith(document.adoptNode(fresh));
  if (focused !== null) (find(`#${CSS.escape(focused)}`, HTMLElement) ?? find("#main", HTMLElement))?.focus({ preventScroll: true });
}

document.addEventListener("visavis:inbox", () => {
  refresh().catch(() => toast("New messages are here. Load the page again to see them.", { tone: "bad" }));
});

document.addEventListener("submit", (event) => {
  const form = origin(event, "form[data-read-all]");
  if (!(form instanceof HTMLFormElement) || !meta("csrf-token")) return;
  event.preventDefault();
  const until = String(new FormData(form).get("until") ?? "");
  void (async () => {
    try {
      const { unread } = await call("POST", "/me/inbox/read", { all: true, ...(until ? { until } : {}) });
      show(unread);
      await refresh();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      toast(error.message, { tone: "bad" });
    }
  })();
});
