/** The WebSocket reference: asyncapi.json as a page. */

import { html } from "../html.js";
import { Example, Links, Prose, Shape, show, Table } from "./drawing.js";
import { target } from "./schemas.js";

const Message = ({ document, name, replies = [] }) => {
  const { payload, summary } = document.channels.session.messages[name];
  const schema = target(document, payload.$ref);
  return html`
    <${Shape} name=${name} about=${summary} schema=${schema}>
      ${replies.length > 0 && html`<p class="quiet">Answered by ${replies.map((reply, index) => [
        index > 0 && ", ",
        html`<a href=${`#${reply}`}>${reply}</a>`,
      ])}.</p>`}
      <${Example} document=${document} name=${name} schema=${schema} />
    <//>
  `;
};

const nameOf = ({ $ref }) => $ref.split("/").at(-1);

/** The names of messages that operations carry, each once. */
const carried = (operations) => [...new Set(operations.flatMap(({ messages }) => messages.map(nameOf)))];

/** Schemas that are no message, but in one. */
function shapes(document) {
  const messages = new Set(Object.values(document.channels.session.messages).map(({ payload }) => nameOf(payload)));
  return Object.entries(document.components.schemas).filter(([name]) => !messages.has(name));
}

const Connecting = ({ document }) => {
  const { gateway } = document.servers;
  const { address, parameters, bindings } = document.channels.session;
  const { query, headers } = bindings.ws;
  const rows = [
    ...Object.entries(parameters).map(([name, { description }]) => [name, "path", description]),
    ...Object.entries(query.properties).map(([name, { description }]) => [name, "query", description]),
    ...Object.entries(headers.properties).map(([name, { description }]) => [name, "header", description]),
  ];
  return html`
    <pre id="address">${gateway.protocol}://${gateway.host}${gateway.pathname ?? ""}${address}</pre>
    <${Table}
      head=${["parameter", "in", ""]}
      rows=${rows.map(([name, where, about]) => [html`<code>${name}</code>`, where, html`<${Prose} text=${about} />`])}
    />
  `;
};

const Page = ({ document }) => {
  const { info, channels, operations } = document;
  const sent = carried(Object.values(operations).filter(({ action }) => action === "send"));
  const received = Object.values(operations).filter(({ action }) => action === "receive");
  const [about] = channels.session.description.split("\n\n");
  return html`
    <main>
      <p class="quiet"><a href="./">Reference</a> · <a href="asyncapi.json">asyncapi.json</a></p>
      <h1>${info.title} ${info.version}: WebSocket</h1>
      <${Prose} text=${info.description} />
      <${Prose} text=${about} />
      <nav aria-label="Messages">
        <h2>From clients</h2>
        <${Links} names=${carried(received)} />
        <h2>From the server</h2>
        <${Links} names=${sent} />
      </nav>
      <h2 id="connecting">Connecting</h2>
      <${Connecting} document=${document} />
      <h2 id="closing">Closing</h2>
      <${Table}
        head=${["code", "final", "meaning"]}
        rows=${channels.session["x-close-codes"].map(({ code, final, meaning }) => [code, final ? "yes" : "no", meaning])}
      />
      <h2>What clients send</h2>
      ${received.map(({ messages, reply }) => html`
        <${Message} document=${document} name=${nameOf(messages[0])} replies=${reply.messages.map(nameOf)} />
      `)}
      <h2>What the server sends</h2>
      ${sent.map((name) => html`<${Message} document=${document} name=${name} />`)}
      <h2>What is in them</h2>
      ${shapes(document).map(([name, schema]) => html`
        <${Shape} name=${name} about=${schema.description} schema=${schema} />
      `)}
    </main>
  `;
};

show("asyncapi.json", Page);
