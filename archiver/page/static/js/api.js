/** The archive's HTTP calls. Every failure is an ApiError whose message can be shown as it is. */

const TOKEN = "owlshift-token";

/** A call that failed: `status` is the HTTP status, 0 when no answer came. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Milliseconds that the server's clock is ahead of this browser's, when that is more than the header can tell. */
let skew = 0;

/** The server's time, as far as it is known. */
export function serverNow() {
  return Date.now() + skew;
}

/** The token that was typed in, for this tab only. */
export function getToken() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

/** @param {string} text empty: forget it */
export function setToken(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

/**
 * The address of a call, relative to where the page lies.
 * @param {string} path @param {Record<string, string|number|string[]|undefined>} [query]
 */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(key, String(one));
  }
  return url.href;
}

/**
 * @typedef {object} Options
 * @property {Record<string, string|number|string[]|undefined>} [query]
 * @property {any} [body] sent as JSON by POST
 * @property {AbortSignal} [signal]
 */

/** The answer of a call; ApiError when it is not 200. @param {string} path @param {Options} [options] */
export async function call(path, { query, body, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  const token = getToken();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path, query), {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The archive does not answer. It may be stopped, or the network is down.", 0);
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  if (date) {
    const off = date + 500 - Date.now();
    skew = Math.abs(off) > 3000 ? off : 0;
  }
  if (!response.ok) throw new ApiError(await words(response), response.status);
  return response;
}

/** @param {Response} response */
async function words(response) {
  let text = "";
  try {
    text = (await response.text()).trim();
  } catch {
    // the status alone must do
  }
  if (text.startsWith("{")) {
    try {
      const answer = JSON.parse(text);
      text = String(answer.error ?? answer.validation ?? answer.desc ?? answer.status ?? text);
    } catch {
      // as it is
    }
  }
  const kind = response.headers.get("content-type") ?? "";
  if (text && text.length < 500 && !kind.includes("html")) return text;
  if (response.status === 401 || response.status === 403) return "That is not allowed for you.";
  return `The archive answered with status ${response.status}.`;
}

/** A call's answer read as JSON. @param {string} path @param {Options} [options] @returns {Promise<any>} */
export async function json(path, options) {
  const response = await call(path, options);
  return parse(await body(response, options?.signal));
}

/** The whole text; a connection that broke off is an ApiError. @param {Response} response @param {AbortSignal} [signal] */
async function body(response, signal) {
  try {
    return await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The answer broke off.", 0);
  }
}

/** JSON in which NaN and Infinity may stand bare, as Python writes them: they become texts. @param {string} text */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
      found[0] === '"' ? found : `"${found}"`,
    );
    try {
      return JSON.parse(quoted);
    } catch {
      throw new ApiError("The archive's answer cannot be read: it is cut off or no JSON.", 0);
    }
  }
}

/** Whether an error only says that nobody waits any more. @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** An error's words. @param {unknown} error */
export function wordsOf(error) {
  if (error instanceof Error && error.message) return error.message;
  return "Something went wrong in the page.";
}
