/** A refusal, or a connection that could not be had. `final`: trying the same again can't help. */
export class RuncastError extends Error {
  final = true;
  wait = 0;

  /** @param {string} code @param {string} message @param {{final?: boolean, status?: number, wait?: number}} [more] */
  constructor(code, message, more) {
    super(message);
    Object.assign(this, { name: "RuncastError", code }, more);
  }
}

/** @param {string} why */
export const unreachable = (why) => new RuncastError("unreachable", why, { final: false });
