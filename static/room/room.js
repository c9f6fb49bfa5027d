// @ts-check
/** The page of a session's room: wires pre-join, socket, call, tiles and chat, and goes from one view to the next. */

import { call as api } from "../js/api.js";
import { all, find, need, serverNow } from "../js/dom.js";
import { toast } from "../js/toast.js";
import { stayAwake } from "./awake.js";
import { Chat } from "./chat.js";
import { choosers, help } from "./devices.js";
import { clockwork } from "./dom.js";
import { Grid } from "./grid.js";
import { listen } from "./keys.js";
import { Line } from "./line.js";
import { LocalMedia } from "./media.js";
import { Missing } from "./missing.js";
import { onNetworkChange } from "./network.js";
import { PreJoin, pressed } from "./prejoin.js";
import { showQuality } from "./quality.js";
import { ScreenShare } from "./screen.js";
import { RoomSocket } from "./socket.js";
import { Wants } from "./wants.js";

/** @import { FromServer, Welcome } from "./protocol.js" */

const PHONE = window.matchMedia("(max-width: 47.99rem)");

class Room {
  #root = need("#room", HTMLElement);
  #id = this.#root.dataset["session"] ?? "";
  #me = this.#root.dataset["me"] ?? "";
  #start = Date.parse(this.#root.dataset["start"] ?? "");
  #end = Date.parse(this.#root.dataset["end"] ?? "");
  #people = new Map(all("[data-person]", HTMLElement, this.#root).map((p) => [p.dataset["person"] ?? "", p.dataset["name"] ?? ""]));
  #hues = new Map(all("[data-person]", HTMLElement, this.#root).map((p) => [p.dataset["person"] ?? "", p.dataset["hue"] ?? "hue-0"]));
  #view = need("[data-view=call]", HTMLElement, this.#root);
  #media = new LocalMedia();
  #screen = new ScreenShare();
  #wants = new Wants((slots) => this.#line?.answered === true && (this.#socket?.send({ type: "want", slots }) ?? false));
  #grid = new Grid(need("[data-testid=grid]", HTMLElement, this.#view), this.#me, (id) => this.#hues.get(id) ?? "hue-0",
    (shown) => this.#wants.follow(shown));
  #chat = this.#makeChat();
  #prejoin = new PreJoin(
    need("[data-view=prejoin]", HTMLElement, this.#root),
    {
      id: this.#id, me: this.#me, people: this.#people, start: this.#start,
      opens: Date.parse(this.#root.dataset["opensAt"] ?? ""), closes: Date.parse(this.#root.dataset["closesAt"] ?? ""),
    },
    this.#media,
    () => this.#join(),
  );
  /** @type {RoomSocket|null} */ #socket = null;
  /** @type {Line|null} */ #line = null;
  #dismissed = ""; // help with devices that has been read
  #missing = new Missing(need("[data-testid=nudged]", HTMLElement, this.#view));
  #live = false; // the call view is shown
  #timers = /** @type {(() => void)[]} */ ([]);

  constructor() {
    this.#controls();
    void this.#media.start();
    this.#media.addEventListener("change", () => this.#mediaChanged());
    this.#media.addEventListener("notice", (event) => {
      if (this.#live && event instanceof CustomEvent) toast(event.detail);
    });
    this.#screen.addEventListener("change", () => this.#mediaChanged());
    onNetworkChange(() => {
      if (!this.#live) return;
      this.#status();
      if (navigator.onLine) this.#line?.move();
    });
    window.addEventListener("pagehide", () => this.#line?.hangUp());
  }

  // ------------------------------------------------------------ coming and going

  #join() {
    this.#prejoin.busy(true);
    this.#prejoin.say("");
    const socket = new RoomSocket(() => api("POST", `/sessions/${this.#id}/join`), {
      message: (message) => this.#hear(message),
      lost: () => {
        this.#line?.lost();
        this.#status();
      },
      stopped: (why) => this.#over(why),
      refused: (problem) => {
        if (this.#live) this.#over(problem.code === "session_over" ? "ended" : "refused", problem.message);
        else {
          this.#prejoin.busy(false);
          this.#prejoin.say(problem.message);
        }
      },
    });
    this.#line?.close();
    this.#socket = socket;
    this.#line = new Line(socket, {
      sent: () => ({ audio: this.#media.sendableAudio(), camera: this.#media.video, screen: this.#screen.track }),
      received: (slots) => this.#grid.received(slots),
      answered: () => this.#wants.afresh(),
      changed: () => this.#status(),
    });
    void socket.open();
  }

  /** @param {Welcome} welcome */
  #welcome(welcome) {
    if (!this.#live) this.#enter();
    this.#end = Date.parse(welcome.session.end);
    this.#start = Date.parse(welcome.session.start);
    this.#grid.everybody(welcome.participants);
    this.#missing.everybody(welcome.participants);
    this.#grid.talking(null);
    this.#chat.welcome(welcome.chat, welcome.more);
    this.#tellState();
    this.#line?.welcome(welcome.resumed, Math.max(1, welcome.participants.length - 1));
    this.#wants.afresh();
    this.#status();
  }

  #enter() {
    this.#live = true;
    this.#prejoin.busy(false);
    this.#prejoin.close();
    this.#view.hidden = false;
    document.body.classList.add("in-room");
    this.#panel(!PHONE.matches);
    this.#clock();
    const timer = window.setInterval(() => this.#clock(), 1000);
    this.#timers.push(() => window.clearInterval(timer), stayAwake());
    void this.#grid.speaker(this.#media.wishes.speaker);
    this.#mediaChanged();
    need("[data-testid=mute]", HTMLButtonElement, this.#view).focus();
  }

  /** @param {FromServer} message */
  #hear(message) {
    if (this.#line?.hear(message)) return;
    switch (message.type) {
      case "welcome":
        this.#welcome(message);
        break;
      case "speaker":
        this.#grid.talking(message.user_id);
        break;
      case "quality":
        showQuality(need("[data-quality]", HTMLElement, this.#view), message);
        break;
      case "participant":
        this.#grid.person(message.participant);
        this.#missing.person(message.participant);
        if (message.participant.user_id === this.#me) this.#line?.observed(message.participant.state === "present");
        break;
      case "nudged":
        this.#missing.nudged(message.people);
        break;
      case "chat":
        this.#chat.said(message);
        break;
      case "chat_history":
        this.#chat.history(message.items, message.more);
        break;
      case "error":
        if (message.id !== undefined) this.#chat.refused(message.id, message.detail);
        break;
      case "session":
      case "goodbye": // the close code that follows says what to do
      default:
        break;
    }
  }

  #leave() {
    this.#socket?.leave();
    this.#over("left");
  }

  /** @param {"left"|"replaced"|"ended"|"foreign"|"missing"|"broken"|"refused"} why @param {string} [detail] */
  #over(why, detail) {
    this.#live = false;
    for (const stop of this.#timers.splice(0)) stop();
    this.#line?.close();
    this.#line = null;
    this.#media.stop();
    this.#screen.stop();
    this.#grid.clear();
    for (const dialog of all("dialog[open]", HTMLDialogElement)) dialog.close();
    this.#prejoin.close();
    this.#view.hidden = true;
    document.body.classList.remove("in-room");
    const view = need("[data-view=end]", HTMLElement, this.#root);
    view.hidden = false;
    view.dataset["why"] = why;
    for (const part of all("[data-why]", HTMLElement, view)) part.hidden = !(part.dataset["why"] ?? "").split(" ").includes(why);
    if (detail) need("[data-end-detail]", HTMLElement, view).textContent = detail;
    need("[data-end-detail]", HTMLElement, view).hidden = !detail;
    find("h1:not([hidden])", HTMLElement, view)?.focus();
  }

  // ------------------------------------------------------------ what is shown

  #status() {
    const banner = need("[data-testid=banner]", HTMLElement, this.#view);
    const words = !navigator.onLine ? "You are offline. The session goes on as soon as you are back."
      : !this.#socket?.ready ? "Reconnecting…"
      : this.#line?.state === "connected" ? ""
      : this.#line?.state === "reconnecting" ? "Reconnecting sound and picture…" : "Connecting sound and picture…";
    banner.hidden = words === "";
    if (words) need("[data-banner-words]", HTMLElement, banner).textContent = words;
    this.#view.dataset["connected"] = String(words === "");
    if (words) showQuality(need("[data-quality]", HTMLElement, this.#view), null);
  }

  #clock() {
    const now = serverNow();
    const left = this.#end - now;
    const words = now < this.#start ? `Starts in ${clockwork((this.#start - now) / 1000)}`
      : left > 0 ? `${clockwork((now - this.#start) / 1000)} · ${clockwork(left / 1000)} left`
      : `${clockwork(-left / 1000)} over time`;
    const place = need("[data-testid=clock]", HTMLElement, this.#view);
    place.textContent = words;
    place.classList.toggle("room-clock-late", now >= this.#start && left < 5 * 60_000);
  }

  #mediaChanged() {
    if (!this.#live) return;
    pressed(need("[data-testid=mute]", HTMLButtonElement, this.#view), this.#media.audible, "microphone", "M");
    pressed(need("[data-testid=camera]", HTMLButtonElement, this.#view), this.#media.visible, "camera", "V");
    const words = help(this.#media);
    if (words === "") this.#dismissed = "";
    need("[data-call-help]", HTMLElement, this.#view).hidden = words === "" || words === this.#dismissed;
    need("[data-call-words]", HTMLElement, this.#view).textContent = words;
    const showing = this.#screen.track !== null;
    const share = need("[data-testid=share]", HTMLButtonElement, this.#view);
    share.setAttribute("aria-pressed", String(showing));
    share.setAttribute("aria-label", showing ? "Stop sharing your screen" : "Share your screen");
    share.title = `${showing ? "Stop sharing" : "Share your screen"} (S)`;
    need("[data-testid=sharing]", HTMLElement, this.#view).hidden = !showing;
    this.#grid.self(this.#media.video);
    this.#tellState();
    this.#line?.send();
    void this.#grid.speaker(this.#media.wishes.speaker);
  }

  #tellState() {
    this.#socket?.send({ type: "media_state", audio: this.#media.audible, video: this.#media.visible, screen: this.#screen.track !== null });
  }

  // ------------------------------------------------------------ what is pressed

  #controls() {
    const view = this.#view;
    const press = (/** @type {string} */ id, /** @type {() => void} */ act) =>
      need(`[data-testid=${id}]`, HTMLButtonElement, view).addEventListener("click", act);
    const [leave, devices, shortcuts] = /** @type {const} */ (["leave", "devices", "shortcuts"]).map((name) =>
      need(`#${name}-dialog`, HTMLDialogElement, this.#root));
    const share = need("[data-testid=share]", HTMLButtonElement, view);
    share.hidden = !ScreenShare.possible;
    const acts = {
      m: () => void this.#media.setAudio(!this.#media.audible),
      v: () => void this.#media.setVideo(!this.#media.visible),
      s: () => void (this.#screen.track ? this.#screen.stop() : this.#share()),
      c: () => this.#panel(!this.#panelOpen()),
      d: () => devices?.showModal(),
      l: () => leave?.showModal(),
      "?": () => shortcuts?.showModal(),
      escape: () => PHONE.matches && this.#panel(false),
    };
    press("mute", acts.m);
    press("camera", acts.v);
    press("share", acts.s);
    press("share-other", () => void this.#share());
    press("share-stop", () => this.#screen.stop());
    press("chat-toggle", acts.c);
    press("leave", acts.l);
    press("devices", acts.d);
    need("[data-call-dismiss]", HTMLButtonElement, view).addEventListener("click", () => {
      this.#dismissed = help(this.#media);
      this.#mediaChanged();
    });
    press("chat-close", () => this.#panel(false));
    need("[data-testid=leave-confirm]", HTMLButtonElement, this.#root).addEventListener("click", () => this.#leave());
    need("[data-testid=shortcuts]", HTMLButtonElement, this.#root).addEventListener("click", () => {
      devices?.close();
      acts["?"]();
    });
    for (const dialog of [leave, devices, shortcuts]) {
      for (const close of all("[data-close]", HTMLButtonElement, dialog)) close.addEventListener("click", () => dialog?.close());
    }
    if (devices) choosers(devices, this.#media);
    for (const again of all("[data-again]", HTMLButtonElement, this.#root)) again.addEventListener("click", () => window.location.reload());
    listen({ act: acts, talk: (on) => this.#media.talk(on), awake: () => this.#live });
  }

  async #share() {
    if (!ScreenShare.possible) return;
    const trouble = await this.#screen.start();
    if (trouble) toast(trouble, { tone: "bad" });
    if (!this.#live) this.#screen.stop(); // left while the browser was still asking
  }

  #panelOpen() {
    return !need("[data-testid=panel]", HTMLElement, this.#view).hidden;
  }

  /** @param {boolean} open */
  #panel(open) {
    need("[data-testid=panel]", HTMLElement, this.#view).hidden = !open;
    const toggle = need("[data-testid=chat-toggle]", HTMLButtonElement, this.#view);
    toggle.setAttribute("aria-expanded", String(open));
    this.#view.classList.toggle("room-with-panel", open);
    this.#chat.opened(open);
    if (open && PHONE.matches) need("[data-testid=chat-input]", HTMLTextAreaElement, this.#view).focus();
    else if (!open && PHONE.matches && this.#live) toggle.focus();
  }

  #makeChat() {
    const view = this.#view;
    return new Chat(
      {
        list: need("[data-testid=chat-list]", HTMLOListElement, view),
        scroller: need("[data-chat-scroller]", HTMLElement, view),
        empty: need("[data-chat-empty]", HTMLElement, view),
        older: need("[data-testid=chat-older]", HTMLButtonElement, view),
        form: need("[data-chat-form]", HTMLFormElement, view),
        input: need("[data-testid=chat-input]", HTMLTextAreaElement, view),
        count: need("[data-chat-count]", HTMLElement, view),
        badge: need("[data-testid=chat-unread]", HTMLElement, view),
      },
      this.#me,
      {
        send: (client_id, text) => this.#socket?.send({ type: "chat", client_id, text }) ?? false,
        older: (before) => this.#socket?.send({ type: "chat_history", before }) ?? false,
      },
    );
  }
}

new Room();
