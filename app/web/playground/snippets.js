/** What the page does, as commands and code to copy. Tokens never go into them: they say where yours comes from. */

/**
 * @typedef {object} Place
 * @property {string} base  where the server is, with a slash at its end
 * @property {string} session
 * @property {string} after  the position to go on from
 * @property {string} content  of the message to send
 * @property {boolean} guarded  the server asks for a token
 */

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const literal = (value) => JSON.stringify(value);

const path = ({ base, session }) => `${base}sessions/${encodeURIComponent(session)}`;

const curl = {
  start: (place) =>
    [
      `curl -sS ${quoted(`${path(place)}/runs`)}`,
      ...(place.guarded ? ['-H "authorization: Bearer $RUNCAST_TOKEN"'] : []),
      "-H 'content-type: application/json'",
      `-d ${quoted(literal({ content: place.content }))}`,
    ].join(" \\\n  ") + "\n",
  follow: (place) =>
    [
      `curl -sSN ${quoted(`${path(place)}/events?after=${place.after}`)}`,
      ...(place.guarded ? ['-H "authorization: Bearer $RUNCAST_TOKEN"'] : []),
    ].join(" \\\n  ") + "\n",
};

const pythonHeaders = (place) =>
  place.guarded ? 'headers = {"authorization": f"Bearer {os.environ[\'RUNCAST_TOKEN\']}"}\n' : "";
const passed = (place) => (place.guarded ? ", headers=headers" : "");
const imported = (place, ...names) => [...names, ...(place.guarded ? ["import os"] : [])].sort().join("\n");

const python = {
  start: (place) => `${imported(place)}${place.guarded ? "\n\n" : ""}import httpx

${pythonHeaders(place)}url = ${literal(`${path(place)}/runs`)}
answer = httpx.post(url, json={"content": ${literal(place.content)}}${passed(place)})
answer.raise_for_status()
print(answer.json())
`,
  follow: (place) => `${imported(place, "import json")}

import httpx
from httpx_sse import connect_sse

${pythonHeaders(place)}url = ${literal(`${path(place)}/events`)}
with (
    httpx.Client(timeout=60${passed(place)}) as client,
    connect_sse(client, "GET", url, params={"after": ${literal(place.after)}}) as source,
):
    for event in source.iter_sse():
        if not event.data:
            continue
        message = json.loads(event.data)
        print(message.get("id"), message["type"], message.get("delta", ""), flush=True)
`,
};

const access = (place) => (place.guarded ? ', token: "YOUR TOKEN"' : "");

const javascript = {
  start: (place) => `const { connect } = await import(${literal(`${place.base}client.js`)});
const session = connect(${literal(place.session)}, { base: ${literal(place.base)}, after: ${literal(place.after)}${access(place)} });
console.log(await session.send(${literal(place.content)}));
session.close();
`,
  follow: (place) => `const { follow } = await import(${literal(`${place.base}client.js`)});
const options = { base: ${literal(place.base)}, after: ${literal(place.after)}${access(place)} };
for await (const message of follow(${literal(place.session)}, options)) {
  console.log(message.id, message.type, message.delta ?? "");
}
`,
};

/**
 * By language, then by what it does: `start` a run, or `follow` the session from a position.
 * @type {Record<string, Record<string, (place: Place) => string>>}
 */
export const snippets = { curl, Python: python, JavaScript: javascript };
