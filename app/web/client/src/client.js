/** Runcast's browser client: follows a session and commands it. Speaks protocol version 1, native. */

import { request } from "./http.js";
import { connect } from "./session.js";

/** @import {Access, ConnectOptions} from "../client.js" */

export { RuncastError } from "./error.js";
export { isTerminal } from "./messages.js";
export { connect, request };

/** @param {string} sessionId @param {ConnectOptions} [options] */
export const follow = (sessionId, options) => connect(sessionId, options).messages;

/** @param {Access & {profile?: string, title?: string}} [options] */
export const createSession = ({ profile, title, ...access } = {}) =>
  request("sessions", access, { method: "POST", body: { profile, title } });
