/** Bundles and minifies `src` into what is served and published: `node build.mjs [FOLDER]`, by default this one. */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = new URL(".", import.meta.url);
const { build } = createRequire(new URL("../../../openapi/sdk/package.json", here))("esbuild");

// One by one: the names that the minifier chooses for one would otherwise depend on the other.
for (const entry of ["src/client.js", "src/shared.js"])
  await build({
    absWorkingDir: fileURLToPath(here),
    entryPoints: [entry],
    outdir: process.argv[2] ?? ".",
    bundle: true,
    external: ["./shared.js"], // loaded by those who share
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
  });
