/** The frames as they went over the wire. Only those in view are drawn. */

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { painter } from "./painter.js";
import { drawn, frames } from "./state.js";

const ROW = 24; // pixels, as in the style sheet
const AROUND = 10; // rows drawn above and below what is in view
const NEAR = 2 * ROW;

const filter = signal("");
const frozen = signal(/** @type {null | import("./frames.js").Frame[]} */ (null));
const chosen = signal(/** @type {null | import("./frames.js").Frame} */ (null));
const view = signal({ top: 0, height: 400 });

/** Whether a frame has every word of the filter, in its direction, id, type or text. */
const fits = (frame, words) =>
  words.every((word) => `${frame.direction} ${frame.via} ${frame.text.toLowerCase()}`.includes(word));

const sized = (bytes) => (bytes < 10_000 ? `${bytes} B` : `${Math.round(bytes / 1000)} kB`);
const timed = (delay) => (delay < 10_000 ? `+${Math.round(delay)} ms` : `+${Math.round(delay / 1000)} s`);

const IN_MESSAGES = /"(?:delta|content|tool|code|state)":"((?:[^"\\]|\\.){0,80})/;
const IN_BODIES = /"(?:content|code|id)":"((?:[^"\\]|\\.){0,80})/;

/** What a message says at a glance. */
function gist({ text, type, via }) {
  const found = (via === "http" ? IN_BODIES : IN_MESSAGES).exec(text);
  return found?.[1] ?? (type ? "" : text.slice(0, 80));
}

/** As a message is read: on several lines. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export function Inspector() {
  drawn.frames.value; // read, so that this is drawn anew
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = frozen.value ?? frames.kept;
  const shown = words.length ? all.filter((frame) => fits(frame, words)) : all;
  const dropped = frames.count - frames.kept.length;
  return html`<section id="inspector" aria-labelledby="frames-title">
    <h2 id="frames-title">Frames</h2>
    <div class="row tools">
      <input
        type="search"
        placeholder="Filter: stream_delta, out, 1-17"
        aria-label="Filter"
        value=${filter}
        onInput=${({ target }) => (filter.value = target.value)}
      />
      <button
        type="button"
        aria-pressed=${String(Boolean(frozen.value))}
        onClick=${() => (frozen.value = frozen.value ? null : [...frames.kept])}
      >
        ${frozen.value ? "Go on" : "Pause"}
      </button>
    </div>
    <${List} shown=${shown} last=${shown.at(-1)} />
    <p class="quiet">
      ${frames.count} frames, ${sized(frames.bytes)}
      ${words.length > 0 && `, ${shown.length} shown`}
      ${dropped > 0 && `; the first ${dropped} are no longer kept`}
    </p>
    <${Detail} />
  </section>`;
}

/** @param {{shown: import("./frames.js").Frame[], last: unknown}} props `last` tells that the same array has grown */
function List({ shown }) {
  const box = useRef(null);
  const stays = useRef(true); // at the end, for as long as the reader is there
  useLayoutEffect(() => {
    const look = () => (view.value = { top: box.current.scrollTop, height: box.current.clientHeight });
    const sizes = new ResizeObserver(() => painter.ask(look));
    sizes.observe(box.current);
    return () => sizes.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (stays.current) box.current.scrollTop = box.current.scrollHeight;
  });
  const scrolled = ({ target }) => {
    stays.current = target.scrollTop + target.clientHeight > target.scrollHeight - NEAR;
    view.value = { top: target.scrollTop, height: target.clientHeight };
  };
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!step || !shown.length) return;
    event.preventDefault();
    const at = shown.findIndex((frame) => frame === chosen.value);
    const index = Math.max(0, Math.min(shown.length - 1, at < 0 ? shown.length - 1 : at + step));
    chosen.value = shown[index];
    stays.current = false;
    box.current.scrollTop = Math.max(
      Math.min(box.current.scrollTop, index * ROW),
      (index + 1) * ROW - box.current.clientHeight,
    );
  };
  const { top, height } = view.value;
  const last = Math.min(shown.length, Math.ceil((top + height) / ROW) + AROUND);
  const first = Math.max(0, Math.min(last, Math.floor(top / ROW) - AROUND));
  return html`<div
    id="frames"
    role="listbox"
    tabindex="0"
    aria-label="Frames"
    aria-activedescendant=${chosen.value ? `frame-${chosen.value.number}` : undefined}
    ref=${box}
    onScroll=${scrolled}
    onKeyDown=${move}
  >
    <div class="all" role="presentation" style=${{ height: `${shown.length * ROW}px` }}>
      <div class="some" role="presentation" style=${{ transform: `translateY(${first * ROW}px)` }}>
        ${shown.slice(first, last).map(
          (frame, index) =>
            html`<${Row}
                key=${frame.number}
                frame=${frame}
                at=${first + index + 1}
                of=${shown.length}
                chosen=${frame === chosen.value}
              />`,
        )}
      </div>
    </div>
  </div>`;
}

function Row({ frame, at, of, chosen: mine }) {
  return html`<div
    id="frame-${frame.number}"
    class="frame"
    role="option"
    aria-selected=${String(mine)}
    aria-posinset=${at}
    aria-setsize=${of}
    data-direction=${frame.direction}
    onClick=${() => (chosen.value = mine ? null : frame)}
  >
    <span aria-label=${frame.direction === "in" ? "received" : "sent"}>${frame.direction === "in" ? "↓" : "↑"}</span>
    <code>${frame.id ?? "–"}</code><b>${frame.type || "?"}</b><span class="gist">${gist(frame)}</span>
    <span class="size">${sized(frame.size)}</span><span class="delay">${timed(frame.delay)}</span>
  </div>`;
}

function Detail() {
  const frame = chosen.value;
  if (!frame) return null;
  const { direction, via, size, delay, text } = frame;
  return html`<div id="frame" role="region" aria-label="The chosen frame">
    <p class="row quiet">
      <span>${direction === "in" ? "received" : "sent"} by ${via}, ${size} bytes, ${timed(delay)}</span>
      <button type="button" onClick=${() => navigator.clipboard?.writeText(text)}>Copy</button>
      <button type="button" class="plain" aria-label="Close" onClick=${() => (chosen.value = null)}>×</button>
    </p>
    <pre>${pretty(text)}</pre>
  </div>`;
}
