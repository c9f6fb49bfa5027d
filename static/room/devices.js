// @ts-check
/** The device choosers and what is said when a camera or microphone is not to be had; pre-join and room share it. */

import { find } from "../js/dom.js";

/** @import { DeviceState, LocalMedia } from "./media.js" */

/** @type {Record<"microphone"|"camera"|"speaker", MediaDeviceKind>} */
const KINDS = { microphone: "audioinput", camera: "videoinput", speaker: "audiooutput" };
const NAMES = { microphone: "Microphone", camera: "Camera", speaker: "Speaker" };

/** @type {Record<Exclude<DeviceState, "ok">, (what: string) => string>} */
const HELP = {
  denied: (what) => `Your browser blocks the ${what} on this page. ${howToAllow()}`,
  missing: (what) => `No ${what} was found. Plug one in, or join without it.`,
  busy: (what) => `Another program is using the ${what}. Close it and try again.`,
  insecure: (what) => `The browser gives the ${what} only to secure pages. Open this page over https.`,
  failed: (what) => `The ${what} could not be started. Try again, or join without it.`,
};

/** Where this browser hides its permissions; there is no other way to know than its name. */
function howToAllow() {
  const name = navigator.userAgent;
  if (/iPhone|iPad/.test(name)) return "Press the page icon in the address bar, then Website Settings, allow it, and load the page again.";
  if (/Android/.test(name)) return "Press the icon left of the address, then Permissions, and allow it.";
  if (/Firefox/.test(name)) return "Press the crossed-out icon left of the address, remove the block, and try again.";
  if (/Safari/.test(name) && !/Chrome/.test(name)) return "In the Safari menu choose Settings for this website, allow it, and load the page again.";
  return "Press the icon left of the address, and switch it on there.";
}

/** @param {LocalMedia} media @returns {string} what to tell the person, "" when all is well */
export function help(media) {
  const { audioState, videoState } = media;
  if (audioState !== "ok" && audioState === videoState) return HELP[audioState]("camera and microphone");
  const words = [];
  if (audioState !== "ok") words.push(`${HELP[audioState]("microphone")} Others will not hear you, but you will hear them.`);
  if (videoState !== "ok") words.push(HELP[videoState]("camera"));
  return words.join(" ");
}

/** Keep the selects named microphone, camera and speaker inside `root` in step with `media`. @param {HTMLElement} root @param {LocalMedia} media */
export function choosers(root, media) {
  const draw = () => {
    for (const name of /** @type {const} */ (["microphone", "camera", "speaker"])) {
      const select = find(`select[name="${name}"]`, HTMLSelectElement, root);
      if (!select) continue;
      const devices = media.devices.filter((d) => d.kind === KINDS[name]);
      const current = name === "microphone" ? media.audio : name === "camera" ? media.video : null;
      const chosen = current?.getSettings().deviceId ?? media.wishes[name];
      const options = devices.map((d, i) => new Option(d.label || `${NAMES[name]} ${i + 1}`, d.deviceId));
      if (options.length === 0) options.push(new Option(name === "speaker" ? "Default" : `No ${name}`, ""));
      const texts = options.map((o) => `${o.value} ${o.text}`).join("\n");
      if (select.dataset["texts"] !== texts) {
        select.replaceChildren(...options);
        select.dataset["texts"] = texts;
      }
      if (options.some((o) => o.value === chosen)) select.value = chosen;
      select.disabled = devices.length < 1;
      const field = select.closest(".field");
      if (name === "speaker" && field instanceof HTMLElement) {
        field.hidden = devices.length === 0 || !("setSinkId" in HTMLMediaElement.prototype);
      }
    }
  };
  root.addEventListener("change", (event) => {
    const select = event.target;
    if (!(select instanceof HTMLSelectElement)) return;
    const name = select.name;
    if (name === "microphone" || name === "camera" || name === "speaker") void media.choose(name, select.value);
  });
  media.addEventListener("change", draw);
  draw();
}
