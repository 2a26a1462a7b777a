/** The operator's view: everybody's runs, who views them, how far behind, on which host, and how they ended. */

import { computed, signal } from "@preact/signals";
import { render } from "preact";
import { Notice, TokenForm } from "../access.js";
import { html } from "../html.js";
import { access, begin, choose, look, more, runs, seen, showMore, statuses, STATUSES } from "./watch.js";

const viewers = (run) => Object.values(run.viewers).reduce((sum, count) => sum + count, 0);
const since = (time) => (time ? Date.parse(time) : 0);
const until = (run) => (run.ended_at ? since(run.ended_at) : (seen.value?.getTime() ?? 0));
const took = (run) => (run.started_at ? Math.max(0, until(run) - since(run.started_at)) : 0);

const COLUMNS = [
  { name: "Status", of: (run) => STATUSES.length - STATUSES.indexOf(run.status) },
  { name: "Run", of: (run) => since(run.created_at) },
  { name: "Principal", of: (run) => run.principal },
  { name: "Agent", of: (run) => run.profile },
  { name: "Viewers", of: viewers },
  { name: "Lag", of: (run) => run.lag },
  { name: "Position", of: (run) => Number(run.position.split("-")[1]) },
  { name: "Started", of: (run) => since(run.started_at) },
  { name: "Took", of: took },
  { name: "Host", of: (run) => run.host },
  { name: "Ended by", of: (run) => cause(run) },
];
const order = signal({ name: "Run", down: true });

const sorted = computed(() => {
  const { name, down } = order.value;
  const of = COLUMNS.find((column) => column.name === name)?.of ?? (() => 0);
  const compare = (one, other) => (of(one) < of(other) ? -1 : of(one) > of(other) ? 1 : 0);
  const up = [...runs.value].sort(compare);
  return down ? up.reverse() : up;
});

/** How a run ended, or what it waits for. */
function cause({ status, code, reason, waits_for_approval }) {
  if (waits_for_approval) return "waits for approval";
  if (code) return code;
  if (reason) return reason;
  return { completed: "its agent", queued: "–", running: "–" }[status] ?? status;
}

const lasted = (ms) =>
  ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
const clock = (time) => (time ? new Date(time).toLocaleTimeString() : "–");

function Row({ run }) {
  const shown = Object.entries(run.viewers).map(([transport, count]) => `${count} ${transport}`);
  return html`<tr data-run=${run.id} data-status=${run.status}>
    <td><span class="status">${run.status}</span></td>
    <td title=${`${run.id} in ${run.session_id}`}><code>${run.id.slice(0, 12)}</code></td>
    <td>${run.principal}</td>
    <td>${run.profile}</td>
    <td data-column="viewers">${shown.join(", ") || "0"}</td>
    <td data-column="lag">${run.lag}</td>
    <td>${run.position}</td>
    <td title=${run.started_at}>${clock(run.started_at)}</td>
    <td>${run.started_at ? lasted(took(run)) : "–"}</td>
    <td title=${run.host}><code>${run.host.slice(0, 8)}</code></td>
    <td data-column="cause">${cause(run)}</td>
  </tr>`;
}

function Head({ name }) {
  const mine = order.value.name === name;
  const sort = mine ? (order.value.down ? "descending" : "ascending") : undefined;
  const turn = () => (order.value = { name, down: mine ? !order.value.down : true });
  return html`<th scope="col" aria-sort=${sort}>
    <button type="button" class="plain" onClick=${turn}>${name}</button>
  </th>`;
}

function Filters() {
  return html`<fieldset class="row">
    <legend class="hidden">States to show</legend>
    ${STATUSES.map(
      (status) => html`<label key=${status}>
        <input
          type="checkbox"
          checked=${statuses.value.has(status)}
          onChange=${({ target }) => choose(status, target.checked)}
        />
        ${status}
      </label>`,
    )}
  </fieldset>`;
}

const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

function App() {
  const locked = access.asking.value && !seen.value;
  const running = runs.value.filter(({ status }) => status === "running").length;
  const watching = runs.value.reduce((sum, run) => sum + viewers(run), 0);
  return html`<header>
      <h1><a href="."><img src="icon.svg" alt="" width="24" height="24" />Runcast</a></h1>
      <p id="summary" class="quiet" hidden=${locked}>
        ${running} running, ${counted(watching, "viewer")} in what is shown
      </p>
      <p class="quiet when">${seen.value ? `as of ${seen.value.toLocaleTimeString()}` : ""}</p>
      <nav class="row quiet" aria-label="Pages"><a href=".">Playground</a> <a href="schema">Reference</a></nav>
    </header>
    <main>
      <h2 class="hidden">Runs</h2>
      <${Notice} access=${access} />
      <${TokenForm} access=${access} check=${look} hint="the token of /metrics" />
      ${!locked && html`<${Filters} />`}
      <div class="table" tabindex="0" role="region" aria-label="Runs" hidden=${locked}>
        <table>
          <thead>
            <tr>
              ${COLUMNS.map(({ name }) => html`<${Head} key=${name} name=${name} />`)}
            </tr>
          </thead>
          <tbody>
            ${sorted.value.map((run) => html`<${Row} key=${run.id} run=${run} />`)}
          </tbody>
        </table>
      </div>
      ${seen.value && !runs.value.length && html`<p class="quiet">No runs in these states.</p>`}
      ${more.value && html`<button type="button" onClick=${showMore}>Earlier ones</button>`}
    </main>`;
}

render(html`<${App} />`, document.body);
begin();
