/**
 * Cuts an SSE text, in pieces of any size, into its events: `{data}` and `{retry}`. It reads the form that the server
 * writes: LF line ends, one line of data an event (P2.1). Other characters that end lines elsewhere may stand in data.
 */
export function sseParser() {
  let rest = "";
  return (/** @type {string} */ text) => {
    const blocks = (rest + text).split("\n\n");
    rest = /** @type {string} */ (blocks.pop());
    return blocks.map((block) => ({
      data: /(?:^|\n)data: ([^\n]+)/.exec(block)?.[1],
      retry: Number(/(?:^|\n)retry: (\d+)/.exec(block)?.[1]),
    }));
  };
}
