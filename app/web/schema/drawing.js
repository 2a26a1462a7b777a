/** What the pages of the reference are made of. */

import { render } from "preact";
import { html } from "../html.js";
import { example, fieldsOf } from "./schemas.js";

/** Prose in which only `code` is marked. */
export const Prose = ({ text }) =>
  html`<p>${text.split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part))}</p>`;

/** @param {{head: string[], rows: any[][]}} props */
export const Table = ({ head, rows }) => html`
  <div class="scroll">
    <table>
      <thead><tr>${head.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody>
    </table>
  </div>
`;

/** What a field may hold, with links to the shapes that have names. */
const Kind = ({ kind }) =>
  kind.map((part) => (part.shape ? html`<a href=${`#${part.shape}`}>${part.shape}</a>` : part));

/** Every field of an object: a row each. */
export const Fields = ({ schema }) => {
  const rows = fieldsOf(schema).map(({ name, required, kind, about }) => [
    html`<code>${name}</code>${required ? "" : html` <span class="quiet">optional</span>`}`,
    html`<${Kind} kind=${kind} />`,
    html`<${Prose} text=${about} />`,
  ]);
  return html`<${Table} head=${["field", "holds", ""]} rows=${rows} />`;
};

/** Something that has a name: what it is, its fields, and what `children` add. */
export const Shape = ({ name, about, schema, children }) => html`
  <article id=${name}>
    <h3>${name}</h3>
    <${Prose} text=${about} />
    <${Fields} schema=${schema} />
    ${children}
  </article>
`;

export const Example = ({ document, name, schema }) =>
  html`<pre aria-label=${`Example of ${name}`}>${JSON.stringify(example(document, schema), null, 2)}</pre>`;

/** A list of links to what has these names. */
export const Links = ({ names }) =>
  html`<ul>${names.map((name) => html`<li><a href=${`#${name}`}>${name}</a></li>`)}</ul>`;

/** Draws a contract that lies beside the page, and goes to where the address points. */
export async function show(file, Page) {
  try {
    const answer = await fetch(file);
    if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
    render(html`<${Page} document=${await answer.json()} />`, document.body);
    document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    document.body.append(`The reference could not be drawn: ${error.message}`);
  }
}
