/** How long the client waits for what, in milliseconds unless it says otherwise. */

/** @import {Line} from "./line.js" */

/** The first pause after a failure; each next one is twice as long. */
export const FIRST_DELAY = 250;
export const LAST_DELAY = 10_000;
/** Whatever the server asks for, it is asked again after a day: timers of a month would fire at once. */
export const LONGEST_WAIT = 86_400_000;

/** How often a command is tried again. */
export const RETRIES = 5;
/** An attempt without an answer for so long, and a millisecond for each eight characters of it, has failed. */
export const ANSWER = 10_000;

/** How often a WebSocket is looked at. The server speaks first: who is silent at the first look may be a proxy that swallows frames. */
export const LOOK = 3_500;
/** After so many looks without a sign of life it is pinged, */
export const PING = 6;
/** and after so many given up. */
export const GIVE_UP = 12;

/** An SSE stream without as much as a comment for so long is dead: three of the server's pings. */
const SILENCE = 45_000;

/** Drops a connection that is silent for too long. @template T @param {Line} line @param {Promise<T>} answer */
export const within = (line, answer) => {
  const timer = setTimeout(line.drop, SILENCE);
  return answer.finally(() => clearTimeout(timer));
};

/** For how much of its time a ticket is used: milliseconds of each second. */
export const FRESH = 900;

/** Characters that may wait for a reader. One that is further behind does without the connection until it has read them. */
export const ROOM = 4_000_000;
