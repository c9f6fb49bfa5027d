// @ts-check
/**
 * The room socket's messages as types, and what to do when it closes (signaling/PROTOCOL.md).
 *
 * @typedef {{user_id: string, name: string, role: string, state: "away"|"connected"|"present", audio: boolean, video: boolean, screen: boolean}} Participant
 * @typedef {{seq: number, client_id: string, user_id: string, name: string, text: string, at: string}} ChatLine
 * @typedef {{id: string, start: string, end: string, closes_at: string, title: string}} SessionCard
 * @typedef {"camera"|"microphone"|"screen"} Source
 * @typedef {{mid: string, kind: "audio"|"video", user_id: string|null, source: Source|null, undecodable?: string|null}} Slot
 *
 * @typedef {{type: "welcome", peer_id: string, resumed: boolean, you: Participant, session: SessionCard,
 *   participants: Participant[], chat: ChatLine[], more: boolean, server_time: string}} Welcome
 * @typedef {{type: "answer", id: string, sdp: string}} Answer
 * @typedef {{type: "slots", slots: Slot[]}} Slots
 * @typedef {{type: "paused", mid: string, paused: boolean}} Paused
 * @typedef {{type: "layers", mid: string, rids: string[]}} Layers
 * @typedef {{type: "speaker", user_id: string|null}} Speaking
 * @typedef {{type: "quality", score: 1|2|3|4|5, cause: "uplink"|"downlink"|"server"|null}} Quality
 * @typedef {{type: "participant", participant: Participant}} ParticipantChanged
 * @typedef {{type: "chat"} & ChatLine} Said
 * @typedef {{type: "chat_history", items: ChatLine[], more: boolean}} History
 * @typedef {{type: "session", status: string, outcome: string|null}} SessionChanged
 * @typedef {{user_id: string, name: string, minutes: number, at: string}} Missed
 * @typedef {{type: "nudged", people: Missed[]}} Nudged
 * @typedef {{type: "pong", t: number|string}} Pong
 * @typedef {{type: "error", code: string, detail: string, id?: string}} Refusal
 * @typedef {{type: "goodbye", reason: "left"|"replaced"|"ended"|"draining"}} Goodbye
 * @typedef {Welcome|Answer|Slots|Paused|Layers|Speaking|Quality|ParticipantChanged|Said|History|SessionChanged|Nudged|Pong|Refusal
 *   |Goodbye} FromServer
 *
 * @typedef {{type: "hello", room_token: string, resume?: string}
 *   | {type: "offer", id: string, sdp: string, sources: Record<string, Source>}
 *   | {type: "want", slots: {mid: string, height: number|null}[]}
 *   | {type: "media_state", audio: boolean, video: boolean, screen: boolean}
 *   | {type: "chat", client_id: string, text: string}
 *   | {type: "chat_history", before: number}
 *   | {type: "ping", t: number}
 *   | {type: "leave"}} ToServer
 */

export const MAX_TEXT = 4000;

/**
 * What a closed socket asks of us.
 * @typedef {{then: "reconnect", after: number, renew: boolean}
 *   | {then: "stop", why: "replaced"|"ended"|"foreign"|"missing"|"broken"}} Verdict
 */

/**
 * @param {number} code the close code
 * @param {number} attempt how often we have tried since the last welcome, from 0
 * @param {() => number} [random] between 0 and 1
 * @returns {Verdict} `after` is in milliseconds; `renew`: ask for a new room token first
 */
export function afterClose(code, attempt, random = Math.random) {
  switch (code) {
    case 4400:
    case 1009:
      return { then: "stop", why: "broken" };
    case 4403:
      return { then: "stop", why: "foreign" };
    case 4404:
      return { then: "stop", why: "missing" };
    case 4409:
      return { then: "stop", why: "replaced" };
    case 4410:
      return { then: "stop", why: "ended" };
    case 4401:
      return { then: "reconnect", after: backoff(attempt, random), renew: true };
    case 1001:
      return { then: "reconnect", after: 1000 + 2000 * random(), renew: false };
    case 1013:
    case 4429:
      return { then: "reconnect", after: 10_000 + 2000 * random(), renew: false };
    default: // 1006: the network; 1000 that we did not ask for, from a proxy; 4408 and whatever else may pass
      return { then: "reconnect", after: backoff(attempt, random), renew: false };
  }
}

/**
 * The first retry at once, then 0.5 s doubling to 8 s, the upper half of it random.
 * @param {number} attempt
 * @param {() => number} random
 */
function backoff(attempt, random) {
  if (attempt === 0) return 50;
  const most = Math.min(8000, 500 * 2 ** (attempt - 1));
  return most / 2 + (most / 2) * random();
}

/** An identifier of our own; not `crypto.randomUUID`, which plain HTTP pages do not have. */
export function freshId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
}
