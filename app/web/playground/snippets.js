/** What the page does, as commands and code to copy. Tokens never go into them: they say where yours comes from. */

/**
 * @typedef {object} Place
 * @property {string} base  where the server is, with a slash at its end
 * @property {string} session
 * @property {string} after  the position to go on from
 * @property {string} content  of the message to send
 * @property {string[]} files  the ids of those that go with it
 * @property {boolean} guarded  the server asks for a token
 */

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
/** JSON that a terminal shows as it is: what would steer it, such as a delete, is escaped. */
const literal = (value) =>
  JSON.stringify(value).replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (steers) => `\\u${steers.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

const path = ({ base, session }) => `${base}sessions/${encodeURIComponent(session)}`;
const message = ({ content, files }) => ({ content, ...(files.length && { files }) });

const curl = {
  start: (place) =>
    [
      `curl -sS ${quoted(`${path(place)}/runs`)}`,
      ...(place.guarded ? ['-H "authorization: Bearer $RUNCAST_TOKEN"'] : []),
      "-H 'content-type: application/json'",
      `-d ${quoted(literal(message(place)))}`,
    ].join(" \\\n  ") + "\n",
  follow: (place) =>
    [
      `curl -sSN ${quoted(`${path(place)}/events?after=${place.after}`)}`,
      ...(place.guarded ? ['-H "authorization: Bearer $RUNCAST_TOKEN"'] : []),
    ].join(" \\\n  ") + "\n",
};

/** A program with app.client, which comes with the package runcast. */
const program = (place, names, body) => `import asyncio
${place.guarded ? "import os\n" : ""}
from app.client import ${names}


async def main():
${body}

asyncio.run(main())
`;
const pythonToken = (place) => (place.guarded ? ', token=os.environ["RUNCAST_TOKEN"]' : "");
const pythonPlace = (place) => `${literal(place.base)}, ${literal(place.session)}`;

const python = {
  start: (place) => {
    const files = place.files.length ? `, files=${literal(place.files)}` : "";
    return program(
      place,
      "Refused, connect",
      `    async with connect(${pythonPlace(place)}${pythonToken(place)}) as session:
        try:
            print(await session.send(${literal(place.content)}${files}))
        except Refused as refused:
            raise SystemExit(f"{refused} ({refused.code})")
`,
    );
  },
  follow: (place) =>
    program(
      place,
      "follow",
      `    async for message in follow(${pythonPlace(place)}, after=${literal(place.after)}${pythonToken(place)}):
        print(message, flush=True)
`,
    ),
};

const token = (place) => (place.guarded ? ', token: "YOUR TOKEN"' : "");
const where = ({ base }) => `// Paste it into the console of a page of ${new URL(base).origin}, such as the playground's.\n`;

const javascript = {
  start: (place) => `${where(place)}const { connect } = await import(${literal(`${place.base}client.js`)});
const session = connect(${literal(place.session)}, { base: ${literal(place.base)}${token(place)} });
console.log(await session.send(${literal(place.content)}${place.files.length ? `, { files: ${literal(place.files)} }` : ""}));
session.close();
`,
  follow: (place) => `${where(place)}const { follow } = await import(${literal(`${place.base}client.js`)});
const options = { base: ${literal(place.base)}, after: ${literal(place.after)}${token(place)} };
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
