// @ts-check
// The style guide's toasts.
import { all } from "./dom.js";
import { toast } from "./toast.js";

for (const button of all("[data-demo-toast]", HTMLButtonElement)) {
  button.addEventListener("click", () => {
    if (button.dataset["demoToast"] === "undo") toast("Hours removed.", { action: "Undo", onAction: () => toast("They are back.") });
    else toast("Saved.");
  });
}
