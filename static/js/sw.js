// @ts-check
// The service worker: shows push messages, and leads a click to where they point. It caches nothing and serves no page.

/**
 * What this file uses of the worker's globals; the checker knows the page's only.
 * @typedef {Event & {waitUntil: (work: Promise<unknown>) => void}} Extendable
 * @typedef {{url: string, focused: boolean, focus: () => Promise<unknown>, navigate: (url: string) => Promise<unknown>}} Tab
 * @typedef {{title: string, body: string, url: string | null, tag: string}} Told
 * @typedef {{
 *   addEventListener: (type: string, handler: (event: any) => void) => void,
 *   skipWaiting: () => Promise<void>,
 *   location: Location,
 *   registration: ServiceWorkerRegistration,
 *   clients: {
 *     claim: () => Promise<void>,
 *     matchAll: (options: {type: "window", includeUncontrolled: boolean}) => Promise<Tab[]>,
 *     openWindow: (url: string) => Promise<unknown>,
 *   },
 * }} PushWorker
 */

const worker = /** @type {PushWorker} */ (/** @type {unknown} */ (self));
const HOME = "/inbox";

/**
 * Where a click leads: an address of ours, or the inbox.
 * @param {unknown} url
 */
function target(url) {
  try {
    const wanted = new URL(typeof url === "string" ? url : HOME, worker.location.origin);
    return wanted.origin === worker.location.origin ? wanted.href : new URL(HOME, worker.location.origin).href;
  } catch {
    return new URL(HOME, worker.location.origin).href;
  }
}

/**
 * @param {{json: () => unknown} | null} data
 * @returns {Told}
 */
function read(data) {
  // A browser that shows nothing for a push takes the permission away, so even a broken one becomes a message.
  /** @type {Record<string, unknown>} */
  let told = {};
  try {
    const found = data?.json();
    if (found !== null && typeof found === "object") told = /** @type {Record<string, unknown>} */ (found);
  } catch {
    told = {};
  }
  /** @param {string} name @param {string} otherwise */
  const text = (name, otherwise) => (typeof told[name] === "string" ? /** @type {string} */ (told[name]) : otherwise);
  return { title: text("title", "Visavis"), body: text("body", ""), url: text("url", HOME), tag: text("tag", "visavis") };
}

worker.addEventListener("install", (/** @type {Extendable} */ event) => event.waitUntil(worker.skipWaiting()));
worker.addEventListener("activate", (/** @type {Extendable} */ event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener("push", (/** @type {Extendable & {data: {json: () => unknown} | null}} */ event) => {
  const { title, body, url, tag } = read(event.data);
  event.waitUntil(worker.registration.showNotification(title, { body, tag, data: { url: target(url) } }));
});

worker.addEventListener("notificationclick", (/** @type {Extendable & {notification: Notification}} */ event) => {
  event.notification.close();
  event.waitUntil(lead(target(event.notification.data?.url)));
});

/** The tab that shows it already, else a new one: a page where somebody is writing is left alone. @param {string} url */
async function lead(url) {
  const tabs = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = tabs.find((tab) => tab.url === url);
  await (there ? there.focus() : worker.clients.openWindow(url));
}

worker.addEventListener(
  "pushsubscriptionchange",
  (/** @type {Extendable & {oldSubscription: PushSubscription | null, newSubscription: PushSubscription | null}} */ event) => {
    event.waitUntil(renew(event.oldSubscription, event.newSubscription));
  },
);

/**
 * The browser's vendor has changed or ended the subscription: tell the server of the new one. Without a login nothing
 * can be told; the next visited page then does it (static/js/push.js).
 * @param {PushSubscription | null} old
 * @param {PushSubscription | null} fresh
 */
async function renew(old, fresh) {
  const key = old?.options.applicationServerKey;
  const subscription = fresh ?? (key ? await worker.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }) : null);
  if (!subscription) return;
  const page = await (await fetch("/settings", { credentials: "same-origin" })).text();
  const token = /<meta name="csrf-token" content="([^"]+)">/.exec(page)?.[1]; // a worker has no page of its own to read it from
  if (!token) return;
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
  await fetch("/api/v1/me/push-subscriptions", { method: "POST", headers, body: JSON.stringify(subscription), credentials: "same-origin" });
  if (old && old.endpoint !== subscription.endpoint) {
    await fetch("/api/v1/me/push-subscriptions", { method: "DELETE", headers, body: JSON.stringify({ endpoint: old.endpoint }), credentials: "same-origin" });
  }
}
