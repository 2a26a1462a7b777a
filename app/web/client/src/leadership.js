/** Which of the tabs leads: the one that holds a lock, or takes it from one that does not answer. */

/** Milliseconds without a word of the leader until it is asked whether it is there; and until it is then deposed. */
const SILENCE = 3_000;
const ANSWER = 3_000;
const LOOK = 500;
/** Milliseconds that a new leader has to make itself heard, before somebody takes the lock again. */
const SETTLING = 1_000;

/**
 * @param {object} tab
 * @param {string} tab.name  of the lock
 * @param {AbortSignal} tab.cut  ends it
 * @param {() => boolean} tab.leads
 * @param {() => Promise<boolean>} tab.lead  leads for as long as it can; whether it wants to again
 * @param {() => void} tab.depose  makes an end of leading
 * @param {() => void} tab.ask  whoever leads to say so
 * @param {() => void} tab.refuse  there are no locks to be had here, as in a sandboxed frame
 * @returns {() => void} to be called when the leader was heard
 */
export function seekLeadership({ name, cut, leads, lead, depose, ask, refuse }) {
  let heard = Date.now();
  let asked = 0;

  const stand = async () => {
    let again = true;
    while (again && !cut.aborted) {
      // It aborts when the lock was taken away, and when it is not wanted any more.
      again = await navigator.locks.request(name, { signal: cut }, lead).catch(({ name: reason }) => {
        if (reason === "AbortError") return true;
        clearInterval(watch);
        refuse();
        return false;
      });
      depose();
    }
  };

  const takeOver = () =>
    navigator.locks.request(`${name}:doubt`, { ifAvailable: true }, async (lock) => {
      if (!lock || cut.aborted) return;
      navigator.locks.request(name, { steal: true }, lead).catch(depose);
      await new Promise((resolve) => setTimeout(resolve, SETTLING));
    });

  const watch = setInterval(() => {
    const now = Date.now();
    if (leads()) return;
    if (!asked && now - heard > SILENCE) {
      asked = now;
      ask();
    } else if (asked && now - asked > ANSWER) {
      asked = 0;
      heard = now;
      takeOver();
    }
  }, LOOK);
  cut.addEventListener("abort", () => clearInterval(watch));
  stand();
  return () => {
    heard = Date.now();
    asked = 0;
  };
}

/**
 * A turn at something that one tab should do at a time; after some waiting, without one.
 * @param {string} name @param {AbortSignal} cut gives it back @param {number} patience milliseconds
 * @returns {Promise<() => void>} gives it back
 */
export const turn = (name, cut, patience) =>
  new Promise((resolve) => {
    const waiting = new AbortController();
    const { signal } = waiting;
    setTimeout(() => waiting.abort(), patience); // which is nothing to one that has its turn
    cut.addEventListener("abort", () => waiting.abort());
    const hold = () =>
      new Promise((release) => {
        cut.addEventListener("abort", release);
        resolve(() => release(null));
      });
    navigator.locks.request(name, { signal }, hold).catch(() => resolve(() => {}));
  });
