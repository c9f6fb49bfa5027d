// @ts-check
// The administrators' answers to appeals: one reason, and the button that was pressed says which answer it is for.
import { all } from "./dom.js";
import { submit } from "./forms.js";

const DONE = { accept: "Accepted", reject: "Rejected", lift: "Lifted" };

for (const form of all("form[data-conduct]", HTMLFormElement)) {
  form.addEventListener("submit", (event) => {
    const pressed = event instanceof SubmitEvent ? event.submitter : null;
    const answer = pressed instanceof HTMLElement ? pressed.dataset["answer"] : undefined;
    if (answer !== "accept" && answer !== "reject" && answer !== "lift") return;
    form.dataset["api"] = `POST /admin/conduct/${form.dataset["conduct"]}/${answer}`;
    form.dataset["done"] = `${DONE[answer]}. The mail is on its way.`;
    void submit(form);
  });
}
