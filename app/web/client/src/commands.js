/** Commands, over HTTP: whatever the stream's transport is, and again until they are answered. */

import { part, request } from "./http.js";
import { pauseAfter, sleep } from "./pauses.js";
import { ATTEMPTS } from "./patience.js";

/** @import {SendOptions, Upload} from "../client.js" */
/** @import {Init} from "./http.js" */
/** @import {Line} from "./line.js" */

/** @param {Line} line */
export function commands(line) {
  /** @param {string} path @param {Init} [init] @returns {Promise<any>} */
  const call = async (path, init) => {
    for (let failures = 0; ; failures++) {
      try {
        return await request(line.path + path, line.options, init);
      } catch (error) {
        if (error.final || failures + 1 >= ATTEMPTS || line.stop.signal.aborted) throw error;
        await sleep(pauseAfter(error, failures), line.stop.signal);
      }
    }
  };
  /** @param {string} path @param {object} [body] */
  const post = (path, body) => call(path, { method: "POST", body });
  const current = async () => line.run ?? (await call("")).active_run;

  return {
    /** @param {string} content @param {SendOptions} [options] @returns {Promise<string>} */
    async send(content, { images, files, onConflict, onDisconnect, idempotencyKey = mint() } = {}) {
      const how = { on_conflict: onConflict, on_disconnect: onDisconnect, idempotency_key: idempotencyKey };
      return (await post("/runs", { content, images, files, ...how })).id;
    },

    /** @param {Blob} file @param {string} [name] @returns {Promise<Upload>} */
    upload(file, name = /** @type {any} */ (file).name ?? "file") {
      const body = new FormData();
      body.append("file", file, name);
      return request(`${line.path}/files`, line.options, { method: "POST", body });
    },

    /** @param {string} [runId] */
    async cancel(runId) {
      // Named before the first attempt: a later one must not find, and cancel, the run after it.
      const run = runId ?? (await current());
      if (run) await post(`/runs/${part(run)}/cancel`);
    },

    /** @param {string} callId @param {boolean} approved @param {string} [comment] */
    async approve(callId, approved, comment) {
      await post(`/runs/${part(await current())}/approvals/${part(callId)}`, { approved, comment });
    },
  };
}

/** Unlike `randomUUID`, at hand on a plain-HTTP page too. */
const mint = () => `${crypto.getRandomValues(new Uint32Array(5))}`;
