/** The reference of messages: messages.json as a page. */

import { html } from "../html.js";
import { Example, Links, Prose, Shape, show } from "./drawing.js";
import { target } from "./schemas.js";

/** The messages of a union by their types, each with its schema. */
const membersOf = (document, union) =>
  document.$defs[union].oneOf.map(({ $ref }) => {
    const schema = target(document, $ref);
    return [schema.properties.type.const, schema];
  });

/** The schemas that are no message, but in one. */
function shapesOf(document, messages) {
  const known = new Set(messages.map(([, schema]) => schema));
  return Object.entries(document.$defs).filter(([, schema]) => schema.properties && !known.has(schema));
}

const Messages = ({ document, messages }) =>
  messages.map(
    ([name, schema]) => html`
      <${Shape} key=${name} name=${name} about=${schema.description} schema=${schema}>
        <${Example} document=${document} name=${name} schema=${schema} />
      <//>
    `,
  );

const Page = ({ document }) => {
  const [said, asked] = ["ServerMessage", "ClientMessage"].map((union) => membersOf(document, union));
  const names = (messages) => messages.map(([name]) => name);
  return html`
    <main>
      <p class="quiet"><a href="./">Reference</a> · <a href="messages.json">messages.json</a></p>
      <h1>${document.title}</h1>
      <${Prose} text=${document.description} />
      <nav aria-label="Messages">
        <h2>From clients</h2>
        <${Links} names=${names(asked)} />
        <h2>From the server</h2>
        <${Links} names=${names(said)} />
      </nav>
      <h2>What clients send</h2>
      <${Messages} document=${document} messages=${asked} />
      <h2>What the server sends</h2>
      <${Messages} document=${document} messages=${said} />
      <h2>What is in them</h2>
      ${shapesOf(document, [...said, ...asked]).map(([name, schema]) => html`
        <${Shape} key=${name} name=${name} about=${schema.description} schema=${schema} />
      `)}
    </main>
  `;
};

show("messages.json", Page);
