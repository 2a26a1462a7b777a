/** The playground: joins the client, the conversation and the inspector to the page. */

import { Chat } from "./chat.js";
import { connect, createSession, request } from "./client.js";
import { element } from "./element.js";
import { Inspector } from "./inspector.js";

const $ = (id) => /** @type {any} */ (document.getElementById(id));
const NAMES = { websocket: "WebSocket", sse: "SSE" };

/** What the server is shown, where it asks: kept for this tab. */
const access = { token: sessionStorage.getItem("token") ?? undefined };
const chat = new Chat($("chat"));
const inspector = new Inspector($("messages"), $("counters"), access);
let sessionId = new URL(location.href).searchParams.get("session");
let session = null;

/** Follows the session, from its first event or from where it was left. */
async function attach(after) {
  session?.close();
  const onState = (state) => mine === session && tell(state);
  const mine = connect(sessionId, { ...access, after, transport: $("transport").value, onState });
  session = mine;
  follow(true);
  try {
    for await (const message of mine.messages) {
      if (mine !== session) return;
      inspector.show(message);
      chat.show(message);
      controls();
    }
  } catch (error) {
    if (mine === session) complain(error);
  }
}

function tell({ state, transport, after = "0", delay, error }) {
  const texts = {
    connecting: `connecting by ${NAMES[transport]}`,
    open: `open · ${NAMES[transport]}`,
    waiting: `broken after ${after}, again in ${((delay ?? 0) / 1000).toFixed(1)} s`,
    closed: `closed after ${after}`,
  };
  $("state").textContent = texts[state];
  $("state").title = error?.message ?? "";
  Object.assign($("state").dataset, { state, transport, after });
  if (state === "closed") follow(false);
}

function follow(on) {
  $("welcome").hidden = true;
  $("drop").hidden = !on;
  $("drop").disabled = $("glitch").disabled = !on;
  $("resume").hidden = on;
  $("resume").textContent = `Resume after ${session.after ?? "0"}`;
}

function controls() {
  const running = Boolean(chat.activeRun);
  $("send").hidden = running;
  $("stop").hidden = !running;
}

function warn(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

/** Says what went wrong, and asks for a token where one is missing. */
function complain(error) {
  warn(error.message || error.code);
  if (error.code !== "unauthenticated") return;
  $("access").hidden = false;
  $("token").focus();
}

/** Runs what a button asks for, and shows why it failed. */
async function attempt(action) {
  warn("");
  try {
    await action();
  } catch (error) {
    complain(error);
  }
}

/** Tries the token that was typed. */
async function enter() {
  access.token = $("token").value.trim() || undefined;
  await profiles();
  sessionStorage.setItem("token", access.token ?? "");
  $("token").value = "";
  $("access").hidden = true;
  if (sessionId) open();
}

async function send() {
  const content = $("content").value;
  if (!content.trim()) return;
  $("send").disabled = true;
  try {
    if (!sessionId) await begin();
    await session.send(content);
    $("content").value = "";
    fit();
  } finally {
    $("send").disabled = false;
    $("content").focus();
  }
}

/** Makes a session and puts it into the address. */
async function begin() {
  sessionId = (await createSession({ ...access, profile: $("profile").value || undefined })).id;
  history.pushState(null, "", `?session=${encodeURIComponent(sessionId)}`);
  open();
}

/** Shows the session of the address from its beginning. */
function open() {
  chat.clear();
  inspector.clear();
  controls();
  attach("0");
}

async function profiles() {
  const { items } = await request("profiles", access);
  const option = ({ name, description }) => element("option", { value: name, title: description ?? "" }, name);
  $("profile").replaceChildren(...items.map(option));
}

/** Lets the message box grow with its text. */
function fit() {
  $("content").rows = Math.min(8, $("content").value.split("\n").length);
}

/** Opens or closes the inspector. */
function fold() {
  $("inside").hidden = !$("inside").hidden;
  $("fold").ariaExpanded = String(!$("inside").hidden);
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(send);
});
$("content").addEventListener("input", fit);
$("content").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chat.activeRun) attempt(() => session.cancel(chat.activeRun));
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("stop").addEventListener("click", () => attempt(() => session.cancel(chat.activeRun)));
$("chat").addEventListener("click", ({ target }) => {
  const { call, answer } = target.dataset;
  if (call) attempt(() => session.approve(call, answer === "yes"));
});
$("new").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(begin).then(() => $("content").focus());
});
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(enter);
});
$("examples").addEventListener("click", ({ target }) => {
  if (!(target instanceof HTMLButtonElement)) return;
  $("content").value = target.textContent;
  $("content").focus();
});
$("fold").addEventListener("click", fold);
$("drop").addEventListener("click", () => session.close());
$("resume").addEventListener("click", () => attach(session.after));
$("glitch").addEventListener("click", () => session.drop());
$("transport").addEventListener("change", () => session && attach(session.after));
window.addEventListener("popstate", () => location.reload());

if (matchMedia("(max-width: 800px)").matches) fold();
attempt(profiles);
if (sessionId) open();
