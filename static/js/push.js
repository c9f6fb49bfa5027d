// @ts-check
// "Notify this browser": the switch, what it says in each state, and the browser's subscription behind it.
import { call, Problem } from "./api.js";
import { find } from "./dom.js";
import { busy } from "./forms.js";

/** @typedef {"unsupported" | "unavailable" | "denied" | "on" | "off"} State */

const PATH = "/me/push-subscriptions";

const SAYS = {
  unsupported: "This browser cannot show push messages. On an iPhone or iPad, add Visavis to the home screen first.",
  unavailable: "Push messages are not set up on this server.",
  denied: "You have blocked notifications for this site. Allow them in the browser’s site settings, then come back here.",
  on: "This browser is told what cannot wait, also while no page is open.",
  off: "This browser is silent while no page is open.",
};

function supported() {
  return window.isSecureContext && "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
}

/** @param {string} text base64url */
function bytes(text) {
  const plain = window.atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** @param {ArrayBuffer | null} a @param {Uint8Array} b */
function same(a, b) {
  if (!a || a.byteLength !== b.byteLength) return false;
  const left = new Uint8Array(a);
  return b.every((byte, i) => left[i] === byte);
}

/** What the browser is, for a list of devices: "Firefox on Linux". */
export function label() {
  const agent = navigator.userAgent;
  const browser = /Edg\//.test(agent) ? "Edge" : /Firefox\//.test(agent) ? "Firefox" : /Chrome\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : "Browser";
  const system = /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Mac OS/.test(agent) ? "macOS" : /Windows/.test(agent) ? "Windows" : "Linux";
  return `${browser} on ${system}`;
}

/** @param {PushSubscription} subscription */
async function tell(subscription) {
  await call("POST", PATH, { ...subscription.toJSON(), label: label() });
}

/**
 * The subscription with this key of the server's; one that was made for an earlier key is worth nothing.
 * @param {ServiceWorkerRegistration} registration
 * @param {Uint8Array<ArrayBuffer>} key
 */
async function subscribed(registration, key) {
  const old = await registration.pushManager.getSubscription();
  if (old && same(old.options.applicationServerKey, key)) return old;
  await old?.unsubscribe();
  return await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

/** Before a logout: a browser whose person has left is told nothing more. */
export async function forget() {
  const registration = supported() ? await navigator.serviceWorker.getRegistration("/") : undefined;
  const subscription = await registration?.pushManager.getSubscription();
  if (!subscription) return;
  await call("DELETE", PATH, { endpoint: subscription.endpoint });
  await subscription.unsubscribe();
}

class Switch {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    this.button = find("[role=switch]", HTMLButtonElement, host);
    this.status = find("[data-push-status]", HTMLElement, host);
    /** @type {Uint8Array<ArrayBuffer> | null} */
    this.key = null;
    this.button?.addEventListener("click", () => void busy(this.button, () => this.toggle()));
  }

  /** @param {State} state @param {string} [problem] */
  show(state, problem = "") {
    this.host.dataset["state"] = state;
    if (this.status) this.status.textContent = problem || SAYS[state];
    if (!this.button) return;
    this.button.setAttribute("aria-checked", String(state === "on"));
    this.button.disabled = state !== "on" && state !== "off";
  }

  async start() {
    if (!supported()) return this.show("unsupported");
    const { public_key: key } = await call("GET", PATH);
    if (!key) return this.show("unavailable");
    this.key = bytes(key);
    if (Notification.permission === "denied") return this.show("denied");
    const registration = await navigator.serviceWorker.getRegistration("/");
    const subscription = await registration?.pushManager.getSubscription();
    if (!registration || !subscription || Notification.permission !== "granted") return this.show("off");
    // Tell it again: the server may have lost it, or the key may be another one.
    await tell(await subscribed(registration, this.key));
    this.show("on");
  }

  async toggle() {
    const was = this.host.dataset["state"];
    try {
      if (was === "on") await this.off();
      else await this.on();
    } catch (error) {
      const text = error instanceof Problem ? error.message : "The browser’s push service did not answer. Try again in a moment.";
      this.show(was === "on" ? "on" : "off", text);
    }
  }

  async on() {
    if (!this.key) return;
    const permission = await Notification.requestPermission();
    if (permission !== "granted") return this.show(permission === "denied" ? "denied" : "off");
    await navigator.serviceWorker.register("/sw.js", { scope: "/" });
    await tell(await subscribed(await navigator.serviceWorker.ready, this.key));
    this.show("on");
  }

  async off() {
    await forget();
    this.show("off");
  }
}

const host = find("[data-push]", HTMLElement);
if (host) {
  const one = new Switch(host);
  one.start().catch((/** @type {unknown} */ error) => {
    one.show("off", error instanceof Problem ? error.message : "The browser’s push service did not answer. Try again in a moment.");
  });
}
