/** The HTTP API, and what the server is shown by whoever calls. */

import { RuncastError, unreachable } from "./error.js";

/** @import {Access} from "../client.js" */

/** @typedef {Omit<RequestInit, "body" | "headers"> & {body?: any, headers?: Record<string, string>}} Init  a body that is no form is sent as JSON */

export const part = encodeURIComponent;

/** @param {string} path relative to the base @param {Access} [access] @param {Init} [init] @returns {Promise<Response>} one with a 2xx */
export async function call(path, access, { body, headers, ...init } = {}) {
  const [token, ticket] = await credentials(access);
  const shown = { ...headers };
  if (token) shown.authorization = `Bearer ${token}`;
  if (body && !(body instanceof FormData)) {
    shown["content-type"] = "application/json";
    body = JSON.stringify(body);
  }
  const redirect = /** @type {any} */ (init.method && "error"); // what is done must not be done elsewhere, or be made a GET
  const response = await fetch(locate(path, access, ticket), { redirect, ...init, body, headers: shown }).catch(fail);
  if (response.ok) return response;
  const { status } = response;
  const { code = `http_${status}`, detail = code } = await response.json().catch(() => ({}));
  const after = /** @type {any} */ (response.headers.get("retry-after"));
  throw new RuncastError(code, detail, {
    final: !/408|429|5../.test(/** @type {any} */ (status)),
    status,
    wait: after * 1_000 || Date.parse(after) - Date.now() || 0,
  });
}

/** @param {string} path @param {Access} [access] @param {Init} [init] @returns {Promise<any>} the answer's JSON, null if it has no body */
export async function request(path, access, init) {
  const response = await call(path, access, init);
  return response.status === 204 ? null : response.json().catch(fail);
}

/** @param {Error} reason @returns {never} */
const fail = ({ message }) => {
  throw unreachable(message);
};

/** The token, or else the ticket. A function is asked anew. @param {Access} [access] @returns {Promise<[token?: string, ticket?: string]>} */
export async function credentials({ token, ticket } = {}) {
  const given = token ?? ticket;
  const shown = typeof given === "function" ? await given() : given;
  return token ? [shown] : [, shown];
}

/** @param {string} path @param {Access} [access] @param {string} [ticket] */
export function locate(path, { base = new URL(".", import.meta.url) } = {}, ticket) {
  const url = new URL(path, new URL(String(base).replace(/\/*$/, "/"), globalThis.location?.href));
  if (ticket) url.searchParams.set("ticket", ticket);
  return url;
}
