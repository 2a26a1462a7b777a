/** Messages, as far as the client looks into them. */

/** @typedef {{type: string, id?: string, [field: string]: any}} Loose */

/** @param {Loose} message @returns {boolean} whether it ends its run */
export const isTerminal = ({ id, type }) => /^(stream_(end|cancelled)|error)$/.test(id ? type : "");

/** Where the next one comes: `caught_up` says it, too. @param {Loose} message @param {string | undefined} after where it came @returns {string | undefined} */
export const positionAfter = ({ id, position }, after) => id ?? position ?? after;
