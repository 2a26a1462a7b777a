/** Images and files that go with the next message. What a message may not carry is said before anything is sent. */

import { signal } from "@preact/signals";
import { html } from "../html.js";
import { access, begin, connection, sessionId } from "./state.js";

const MIB = 1024 * 1024;
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const MOST_IMAGES = 4;
const MOST_FILES = 16;
const IMAGE_BYTES = 5 * MIB;
const TOGETHER = 7.5 * MIB; // of base64: a whole message has 8 MiB
const FILE_BYTES = 20 * MIB;

/** @typedef {{key: number, kind: "image" | "file", name: string, url?: string, id?: string, busy?: boolean}} Attachment */

export const attached = signal(/** @type {Attachment[]} */ ([]));
let made = 0;

const sized = (bytes) => (bytes < MIB ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / MIB).toFixed(1)} MiB`);
const update = (key, more) =>
  (attached.value = attached.value.map((each) => (each.key === key ? { ...each, ...more } : each)));
const detach = (key) => (attached.value = attached.value.filter((each) => each.key !== key));
const count = (kind) => attached.value.filter((each) => each.kind === kind).length;

/** Takes what was picked, pasted or dropped: images into the message, everything else up to the session. */
export async function attach(files) {
  for (const file of files) await access.attempt(() => (IMAGES.includes(file.type) ? takeImage(file) : takeFile(file)));
}

async function takeImage(file) {
  const name = file.name || "image";
  if (count("image") >= MOST_IMAGES) throw new Error(`A message takes ${MOST_IMAGES} images; ${name} was left out.`);
  if (file.size > IMAGE_BYTES)
    throw new Error(`${name} has ${sized(file.size)}; an image may have ${sized(IMAGE_BYTES)}.`);
  const url = await read(file);
  const together = attached.value.reduce((sum, each) => sum + (each.url?.length ?? 0), url.length);
  if (together > TOGETHER)
    throw new Error(`With ${name} the images are too large for one message; send it in another.`);
  attached.value = [...attached.value, { key: made++, kind: "image", name, url }];
}

async function takeFile(file) {
  if (count("file") >= MOST_FILES) throw new Error(`A message takes ${MOST_FILES} files; ${file.name} was left out.`);
  if (file.size > FILE_BYTES)
    throw new Error(`${file.name} has ${sized(file.size)}; a file may have ${sized(FILE_BYTES)}.`);
  if (!sessionId.value) await begin();
  const key = made++;
  attached.value = [...attached.value, { key, kind: "file", name: file.name, busy: true }];
  try {
    const { id, name } = await connection.session.upload(file);
    update(key, { id, name, busy: false });
  } catch (error) {
    detach(key);
    throw error;
  }
}

/** @param {Blob} file @returns {Promise<string>} a data URL */
const read = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(new Error("The file can’t be read."));
    reader.readAsDataURL(file);
  });

/** What the next message carries, as `send` wants it. */
export function carried() {
  const images = attached.value.flatMap(({ url }) => url ?? []);
  const files = attached.value.flatMap(({ id }) => id ?? []);
  return { ...(images.length && { images }), ...(files.length && { files }) };
}

export function Attachments() {
  if (!attached.value.length) return null;
  return html`<ul id="attached" class="row" aria-label="Goes with the message">
    ${attached.value.map(
      ({ key, name, url, busy }) => html`<li key=${key} aria-busy=${String(Boolean(busy))}>
        ${url && html`<img src=${url} alt="" />`}<span>${name}${busy ? " …" : ""}</span>
        <button type="button" class="plain" aria-label=${`Leave out ${name}`} onClick=${() => detach(key)}>×</button>
      </li>`,
    )}
  </ul>`;
}
