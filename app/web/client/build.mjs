/** Bundles and minifies `src` into what is served and published: `node build.mjs [FOLDER]`, by default this one. */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = new URL(".", import.meta.url);
const { build } = createRequire(new URL("../../../openapi/sdk/package.json", here))("esbuild");

await build({
  absWorkingDir: fileURLToPath(here),
  entryPoints: ["src/client.js"],
  outdir: process.argv[2] ?? ".",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
});
