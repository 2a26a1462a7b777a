import assert from "node:assert/strict";
import test from "node:test";

globalThis.document = { createDocumentFragment: () => ({ append() {} }), createElement: () => ({ append() {}, dataset: {} }) };
const { markdown } = await import("../../app/web/playground/markdown.js");

const hostile = {
  "a heading of spaces": (size) => `# a${" ".repeat(size)}b`,
  brackets: (size) => "[".repeat(size),
  "bold that never ends": (size) => " **a".repeat(size / 4),
  backticks: (size) => "`".repeat(size) + "x",
  italics: (size) => " *a".repeat(size / 3),
};

for (const [name, write] of Object.entries(hostile))
  test(`a page does not stand still over ${name}`, () => {
    const begun = process.cpuUsage();
    markdown(write(200_000));
    const seconds = process.cpuUsage(begun).user / 1e6;
    assert.ok(seconds < 3, `${seconds} s of the processor; a minute and more if it grew with the square`);
  });
