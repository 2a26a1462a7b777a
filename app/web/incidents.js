/** The incident in a problem that the server answers, by which its operator finds it in the log: the client drops it. */

let last = { detail: "", incident: "" };

/** Listens in on what requests are answered; what passes is not changed. */
export function noteIncidents() {
  const plain = globalThis.fetch;
  globalThis.fetch = async (...given) => {
    const response = await plain(...given);
    // Before anybody can complain of it.
    if (!response.ok)
      last = await response
        .clone()
        .json()
        .catch(() => last);
    return response;
  };
}

/** @param {{message: string}} error @returns {string | undefined} */
export const incidentOf = ({ message }) => (message === last.detail ? last.incident : undefined);
