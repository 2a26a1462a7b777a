/** The network as the reader wants it: cut, away, slow, by another transport; and the proof that nothing is lost. */

import { html } from "../html.js";
import { connection, drawn, proof, sessionId } from "./state.js";

const TRANSPORTS = { auto: "Auto", websocket: "WebSocket", sse: "SSE", eventsource: "EventSource" };
const LATENCIES = { 0: "No delay", 100: "100 ms late", 500: "0.5 s late", 2000: "2 s late" };

export const named = (transport) => TRANSPORTS[transport] ?? transport;

const options = (choices) =>
  Object.entries(choices).map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`);

export function Network() {
  const on = connection.following.value;
  const away = Boolean(sessionId.value) && !on;
  return html`<section id="network" aria-labelledby="network-title">
    <h2 id="network-title">Network</h2>
    <div class="row">
      <select
        id="transport"
        aria-label="Transport"
        value=${connection.transport}
        onChange=${({ target }) => connection.switch(target.value)}
      >
        ${options(TRANSPORTS)}
      </select>
      <select
        id="latency"
        aria-label="Delay"
        title="Every message is held back for so long"
        value=${String(connection.latency.value)}
        onChange=${({ target }) => (connection.latency.value = Number(target.value))}
      >
        ${options(LATENCIES)}
      </select>
      <button
        id="glitch"
        type="button"
        disabled=${!on}
        title="As a failing network would; the client comes back by itself"
        onClick=${() => connection.cut()}
      >
        Cut
      </button>
      <button
        id="drop"
        type="button"
        disabled=${!on}
        hidden=${away}
        title="Close the connection and stay away"
        onClick=${() => connection.leave()}
      >
        Stay away
      </button>
      <button id="resume" type="button" hidden=${!away} onClick=${() => connection.resume()}>
        Resume after ${connection.state.value.after ?? connection.after ?? "0"}
      </button>
    </div>
    <${Counters} />
  </section>`;
}

function Counters() {
  drawn.proof.value; // read, so that this is drawn anew
  const { received, lost, twice, strange, checked, unchecked, differences } = proof;
  const bad = lost + twice + strange > 0;
  const runs = checked === 1 ? "1 run that ended is" : `${checked} runs that ended are`;
  return html`<p
    id="counters"
    data-lost=${lost}
    data-twice=${twice}
    data-checked=${checked}
    data-state=${bad ? "bad" : checked ? "good" : "open"}
  >
      <b>${received} received, ${lost} lost, ${twice} twice</b>
      <span class="quiet">
        ${checked ? `${runs} word for word what the log says` : "Compared with the log when a run ends"}
        ${unchecked > 0 && `; ${unchecked} could not be compared`}${bad && ", save for this:"}
      </span>
    </p>
    ${
      differences.length > 0 &&
      html`<ul id="differences">
      ${differences.map(({ id, type, what }, index) => html`<li key=${index}><code>${id}</code> ${type} ${what}</li>`)}
    </ul>`
    }`;
}

/** Where the connection stands, in words. */
export function State() {
  const { state, transport, after = "0", delay, error } = connection.state.value;
  const texts = {
    idle: "no session",
    connecting: `connecting by ${named(transport)}`,
    open: `open · ${named(transport)}`,
    waiting: `broken after ${after}, again in ${((delay ?? 0) / 1000).toFixed(1)} s`,
    closed: `closed after ${after}`,
  };
  return html`<span
    id="state"
    class="pill"
    role="status"
    title=${error?.message ?? ""}
    data-state=${state}
    data-transport=${transport}
    data-after=${after}
  >
    ${texts[state]}
  </span>`;
}
