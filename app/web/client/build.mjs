/** Bundles and minifies `src` into what is served and published: `node build.mjs [FOLDER]`, by default this one. */

import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = new URL(".", import.meta.url);
const require = createRequire(new URL("../../../openapi/sdk/package.json", here));
const { build } = require("esbuild");
const { minify } = require("terser"); // 60 bytes less than the other's minifier, after gzip

const ENTRIES = ["client.js", "shared.js", "event_source.js"];

/** What the modules call things between themselves, and the page never: it is cut to one letter, the same in each. */
const INTERNAL = ["working", "until", "events", "query", "keep", "tell", "cut", "stop", "path", "options", "began", "made", "end"];
const LETTERS = "etonrasiclduz"; // frequent ones elsewhere: they compress better
const mangleCache = Object.fromEntries(INTERNAL.map((name, index) => [name, LETTERS[index]]));

// One by one: the names that the minifier chooses for one would otherwise depend on the other.
for (const entry of ENTRIES) {
  const { outputFiles } = await build({
    absWorkingDir: fileURLToPath(here),
    entryPoints: [`src/${entry}`],
    write: false,
    bundle: true,
    external: ENTRIES.map((other) => `./${other}`).filter((other) => other !== "./client.js"), // loaded by those who ask for it
    mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
    mangleCache,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
  });
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { ecma: 2022, passes: 3 } });
  await writeFile(`${process.argv[2] ?? fileURLToPath(here)}/${entry}`, `${code}\n`);
}
