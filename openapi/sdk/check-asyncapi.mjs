// Checks AsyncAPI documents by @asyncapi/parser, which every tool of AsyncAPI begins with: node check-asyncapi.mjs FILE...
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const parser = new Parser();
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(await readFile(file, "utf8"), { source: file });
  for (const { code, message, path, severity } of diagnostics) {
    console.log(`${["error", "warning", "information", "hint"][severity]} ${code} at ${path.join(".")}: ${message}`);
  }
  if (document === undefined) process.exitCode = 1;
}
