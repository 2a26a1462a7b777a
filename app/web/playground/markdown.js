/**
 * Light markdown as DOM nodes: headings, lists, quotes, rules, tables, fenced code; code, bold, italics, links in a line.
 * What a model writes only ever becomes text nodes, so markup in it stays what it is: text.
 */

import { element } from "./element.js";

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const BLOCKS = [
  { test: /^(#{1,6})\s+(\S.*)$/, make: (found) => element(`h${found[1].length}`, {}, ...inline(unclosed(found[2]))) },
  { test: /^ {0,3}([-*_])( *\1){2,} *$/, make: () => element("hr") },
  { test: /^ {0,3}> ?(.*)$/, join: "blockquote" },
  { test: /^\s*[-*+]\s+(.*)$/, list: "ul" },
  { test: /^\s*(\d+)[.)]\s+(.*)$/, list: "ol" },
];
const ROW = /^\s*\|.*\|\s*$/;
const RULER = /^\s*\|(\s*:?-+:?\s*\|)+\s*$/;
// Each looks only so far for its end: a text full of beginnings would take the time of its length squared.
const SPANS = [
  /(?<ticks>`{1,8})(?<source>[^]{0,2000}?[^`])\k<ticks>(?!`)/,
  /\*\*(?<bold>\S(?:[^]{0,1000}?\S)?)\*\*/,
  /(?<![\w*])[*_](?<italic>[^\s*_](?:[^*_]{0,500}[^\s*_])?)[*_](?![\w*])/,
  /\[(?<label>[^\]]{1,500})\]\((?<href>https?:\/\/[^\s)]{1,2000})\)/,
];
const INLINE = new RegExp(SPANS.map(({ source }) => source).join("|"), "g");

const DEEPEST = 8; // quotes within quotes

/** @param {string} text @param {number} [depth] @returns {DocumentFragment} */
export function markdown(text, depth = 0) {
  const out = document.createDocumentFragment();
  const lines = text.split("\n");
  while (lines.length) out.append(...block(lines, depth));
  return out;
}

/** Text that grows, in an element. What can't change any more is left alone, so that a long text costs no more. */
export class Growing {
  #box;
  #rest = "";
  #loose = /** @type {ChildNode[]} */ ([]);

  /** @param {HTMLElement} box */
  constructor(box) {
    this.#box = box;
  }

  /** @param {string} text what comes after what there is */
  add(text) {
    this.#rest += text;
    const all = this.#rest.split("\n");
    const lines = [...all];
    const blocks = [];
    while (lines.length) blocks.push({ nodes: block(lines, 0), end: all.length - lines.length });
    // The last line may yet turn out to belong to the block before it.
    const settled = Math.max(0, blocks.length - 2);
    for (const node of this.#loose) node.remove();
    this.#box.append(...blocks.slice(0, settled).flatMap(({ nodes }) => nodes));
    this.#loose = blocks.slice(settled).flatMap(({ nodes }) => nodes);
    this.#box.append(...this.#loose);
    if (settled) this.#rest = all.slice(blocks[settled - 1].end).join("\n");
  }
}

/** Takes one block off the front of `lines`. */
function block(lines, depth) {
  if (!lines[0].trim()) return lines.splice(0, 1).slice(1);
  const fence = FENCE.exec(lines[0]);
  if (fence) return [code(lines, fence)];
  if (ROW.test(lines[0]) && RULER.test(lines[1] ?? "")) return [table(taken(lines, (line) => ROW.test(line)))];
  for (const { test, make, list, join } of BLOCKS) {
    const found = test.exec(lines[0]);
    if (!found) continue;
    if (make) return lines.shift() && [make(found)];
    const items = taken(lines, (line) => test.test(line)).map((line) => test.exec(line)?.at(-1) ?? "");
    if (join) return [element(join, {}, depth < DEEPEST ? markdown(items.join("\n"), depth + 1) : items.join("\n"))];
    const start = list === "ol" ? { start: Number(found[1]) } : {};
    return [element(list, start, ...items.map((item) => element("li", {}, ...inline(item))))];
  }
  const first = lines.shift();
  const more = taken(
    lines,
    (line) => line.trim() && !ROW.test(line) && !FENCE.test(line) && !BLOCKS.some(({ test }) => test.test(line)),
  );
  return [element("p", {}, ...inline([first, ...more].join("\n")))];
}

/** A heading's text without the marks that may stand behind it. */
function unclosed(text) {
  let end = text.trimEnd().length;
  while (end > 0 && text[end - 1] === "#") end--;
  return text.slice(0, end).trimEnd();
}

function code(lines, [, mark, language]) {
  lines.shift();
  const source = taken(lines, (line) => !line.trim().startsWith(mark));
  lines.shift();
  return element("pre", {}, element("code", { title: language }, source.join("\n")));
}

function table([head, , ...rows]) {
  const row = (kind, line) => element("tr", {}, ...cells(line).map((cell) => element(kind, {}, ...inline(cell))));
  const body = rows.map((line) => row("td", line));
  return element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, ...body));
}

function cells(line) {
  return line
    .trim()
    .slice(1, -1)
    .split("|")
    .map((cell) => cell.trim());
}

function taken(lines, fits) {
  const end = lines.findIndex((line) => !fits(line));
  return lines.splice(0, end < 0 ? lines.length : end);
}

/** @param {string} text @returns {(Node | string)[]} */
function inline(text) {
  const out = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    out.push(text.slice(end, found.index), span(found.groups ?? {}));
    end = found.index + found[0].length;
  }
  return [...out, text.slice(end)];
}

function span({ source, bold, italic, label, href }) {
  if (source) return element("code", {}, source.trim() || source);
  if (bold) return element("strong", {}, ...inline(bold));
  if (italic) return element("em", {}, ...inline(italic));
  return element("a", { href, rel: "noopener noreferrer", target: "_blank" }, label);
}
