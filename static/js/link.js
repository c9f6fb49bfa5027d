// @ts-check
// The page behind a mail's link that moves a session: the chosen time goes into the two fields that are sent.
import { need } from "./dom.js";

const form = need("[data-link]", HTMLFormElement);
const times = need("[data-link-times]", HTMLSelectElement, form);
times.addEventListener("change", () => {
  const [start = "", end = ""] = times.value.split("/");
  need("input[name=start]", HTMLInputElement, form).value = start;
  need("input[name=end]", HTMLInputElement, form).value = end;
});
