// @ts-check
// Live times: "starts in 4 min 20 s", and Join buttons that wake up when the room opens.
import { all, serverNow } from "./dom.js";

/** @param {number} ms */
export function spoken(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 1) return `${days} days`;
  if (days === 1) return `1 day ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes >= 10) return `${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** @param {number} now */
function tick(now) {
  for (const place of all("[data-countdown]", HTMLElement)) {
    const start = Date.parse(place.dataset["countdown"] ?? "");
    const end = Date.parse(place.dataset["until"] ?? "");
    const text = now < start ? `Starts in ${spoken(start - now)}` : now < end ? `Under way, ${spoken(end - now)} left` : "Time is up";
    if (place.textContent !== text) place.textContent = text;
  }
  for (const link of all("[data-room-opens]", HTMLAnchorElement)) {
    const open = now >= Date.parse(link.dataset["roomOpens"] ?? "") && now < Date.parse(link.dataset["roomCloses"] ?? "");
    if (open === (link.getAttribute("aria-disabled") !== "true")) continue;
    if (open) {
      link.removeAttribute("aria-disabled");
      link.setAttribute("href", link.dataset["href"] ?? "#");
    } else {
      link.setAttribute("aria-disabled", "true");
      link.removeAttribute("href");
    }
  }
}

export function startCountdowns() {
  if (!document.querySelector("[data-countdown], [data-room-opens]")) return;
  tick(serverNow());
  window.setInterval(() => {
    if (!document.hidden) tick(serverNow());
  }, 1000);
  document.addEventListener("visibilitychange", () => tick(serverNow()));
}
