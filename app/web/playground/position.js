/** Positions, `"<run>-<seq>"`: compared only to prove things; to go on from one, it is handed back as it came. */

const pair = (id) => id.split("-").map(Number);

/** @param {string} one @param {string} other @returns {boolean} whether `one` stands after `other` */
export function rises(one, other) {
  const [run, seq] = pair(one);
  const [otherRun, otherSeq] = pair(other);
  return run > otherRun || (run === otherRun && seq > otherSeq);
}
