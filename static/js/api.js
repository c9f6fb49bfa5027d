// @ts-check
// Calls of /api/v1 with the login's cookie and CSRF token; refusals become one kind of error.
import { meta } from "./dom.js";

/** @typedef {{field: string, code: string, message: string}} FieldError */
/** @typedef {{kind: string, id: string, start: string, end: string, title: string}} ConflictEntry */

const TIMEOUT = 20_000; // ms; the slowest action takes well under one second

/** A refusal (RFC 9457), or a request that never got an answer (`status` 0). */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} detail
   * @param {FieldError[]} errors
   * @param {ConflictEntry[]} conflicts
   * @param {Record<string, unknown>} more whatever else the refusal says
   */
  constructor(status, code, detail, errors = [], conflicts = [], more = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.errors = errors;
    this.conflicts = conflicts;
    this.more = more;
  }
}

/**
 * @param {unknown} value
 * @returns {Record<string, unknown>}
 */
function record(value) {
  return value !== null && typeof value === "object" ? /** @type {Record<string, unknown>} */ (value) : {};
}

/**
 * Call an endpoint and return its JSON (null for an empty answer).
 * @param {string} method
 * @param {string} path below /api/v1, with its slash
 * @param {unknown} [body]
 * @param {{key?: string}} [options] `key` makes a repeated POST harmless (Idempotency-Key)
 * @returns {Promise<any>}
 * @throws {Problem}
 */
export async function call(method, path, body, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", "X-CSRF-Token": meta("csrf-token") };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (options.key) headers["Idempotency-Key"] = options.key;
  let response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch {
    throw new Problem(0, "no_answer", "The server did not answer. Check your connection and try again.");
  }
  const text = await response.text();
  /** @type {unknown} */
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    if (response.ok) throw new Problem(response.status, "bad_answer", "The server's answer could not be read.");
  }
  if (response.ok) return data;
  const fields = record(data);
  throw new Problem(
    response.status,
    typeof fields["code"] === "string" ? fields["code"] : "unknown",
    typeof fields["detail"] === "string" ? fields["detail"] : `The server refused (${response.status}).`,
    Array.isArray(fields["errors"]) ? fields["errors"] : [],
    Array.isArray(fields["conflicts"]) ? fields["conflicts"] : [],
    fields,
  );
}

/** A key for one intention: a second click sends the same one. */
export function newKey() {
  return typeof crypto.randomUUID === "function"
    ? crypto.randomUUID()
    : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}
