// @ts-check
// The page behind a mail's link that moves or books a session: the chosen time goes into the two fields that are sent.
// When it was taken meanwhile, the times are asked for anew.
import { call, Problem } from "./api.js";
import { make, need, serverNow, spokenSpan } from "./dom.js";

const AHEAD = 21; // days: as far as the page itself looks, or less

const form = need("[data-link]", HTMLFormElement);
const times = need("[data-link-times]", HTMLSelectElement, form);

function take() {
  const [start = "", end = ""] = times.value.split("/");
  need("input[name=start]", HTMLInputElement, form).value = start;
  need("input[name=end]", HTMLInputElement, form).value = end;
}

async function renew() {
  const { mentor = "", minutes = "", zone = "UTC", choose = "", nothing = "" } = times.dataset;
  const from = new Date(serverNow()).toISOString();
  const to = new Date(serverNow() + AHEAD * 86_400_000).toISOString();
  try {
    /** @type {{slots: {start: string, end: string}[]}} */
    const { slots } = await call("GET", `/mentors/${mentor}/slots?${new URLSearchParams({ from, to, tz: zone, length: minutes })}`);
    times.replaceChildren(make("option", { value: "" }, slots.length > 0 ? choose : nothing));
    for (const slot of slots) times.append(make("option", { value: `${slot.start}/${slot.end}` }, spokenSpan(slot.start, slot.end, zone)));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    times.replaceChildren(make("option", { value: "" }, problem.message));
  }
  take();
  times.focus();
}

times.addEventListener("change", take);
form.addEventListener("api:refused", (event) => {
  if (!(event instanceof CustomEvent) || !(event.detail instanceof Problem)) return;
  const { status, errors } = event.detail;
  const untaken = errors.some((error) => error.field === "start" && error.code !== "required");
  if (status === 409 || untaken) void renew();
});
