/** Commands, over HTTP: whatever the stream's transport is, and again until they are answered. */

import { unreachable } from "./error.js";
import { part, request } from "./http.js";
import { pauseAfter, sleep } from "./pauses.js";
import { ANSWER, RETRIES } from "./patience.js";

/** @import {SendOptions, Upload} from "../client.js" */
/** @import {Init} from "./http.js" */
/** @import {Line} from "./line.js" */

/** @param {Line} line */
export function commands(line) {
  /** @param {string} path @param {Init} [init] @returns {Promise<any>} */
  const call = async (path, init) => {
    for (let failures = 0; ; failures++) {
      try {
        const patience = ANSWER + (JSON.stringify([init]).length >> 3);
        return await request(line.path + path, line.options, { ...init, signal: AbortSignal.timeout(patience) });
      } catch (error) {
        if (error.final || failures >= RETRIES || line.stop.signal.aborted) throw error;
        await sleep(pauseAfter(error, failures), line.stop.signal);
      }
    }
  };
  /** @param {string} path @param {object} [body] */
  const post = (path, body) => call(path, { method: "POST", body });
  const current = async () => line.run ?? (await call("")).active_run;

  return {
    /** @param {string} content @param {SendOptions} [options] @returns {Promise<string>} */
    async send(
      content,
      // Unlike `randomUUID`, this is at hand on a plain-HTTP page too.
      { images, files, onConflict, onDisconnect, idempotencyKey = `${crypto.getRandomValues(new Uint32Array(5))}` } = {},
    ) {
      const { id, number, status } = await post("/runs", {
        content,
        images,
        files,
        on_conflict: onConflict,
        on_disconnect: onDisconnect,
        idempotency_key: idempotencyKey,
      });
      if (typeof id !== "string") throw unreachable("No run"); // somebody else has answered
      // A page that was given nothing yet begins with this run, which may be over before it can follow. One that waits
      // comes after the run in progress: following begins with that, and with one that it interrupts it has to.
      const waits = status === "queued";
      const after = parseInt(/** @type {string} */ (line.after));
      if (!(line.options.run || line.after !== line.began || after < number || (waits && onConflict !== "interrupt"))) {
        line.after = `${number - +waits}-0`;
        line.drop();
      }
      return id;
    },

    /** @param {Blob} file @param {string} [name] @returns {Promise<Upload>} */
    upload(file, name = /** @type {File} */ (file).name) {
      const body = new FormData();
      body.append("file", file, name);
      return request(`${line.path}/files`, line.options, { method: "POST", body });
    },

    /** @param {string} [runId] */
    async cancel(runId) {
      // Named before the first attempt: a later one must not find, and cancel, the run after it.
      runId ??= await current();
      if (runId) await post(`/runs/${part(runId)}/cancel`);
    },

    /** @param {string} callId @param {boolean} approved @param {string} [comment] */
    async approve(callId, approved, comment) {
      await post(`/runs/${part(await current())}/approvals/${part(callId)}`, { approved, comment });
    },
  };
}
