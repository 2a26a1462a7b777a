"""Random requests and frames that nobody should send, the same for the same seed."""

import base64
import json
import struct
from random import Random
from typing import Any

METHODS = [
    "GET",
    "GET",
    "GET",
    "POST",
    "POST",
    "POST",
    "POST",
    "DELETE",
    "PUT",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "FOO",
    "get",
    "",
]
PLACES = [
    *(
        "/",
        "/sessions",
        "/sessions/{}",
        "/sessions/{}/runs",
        "/sessions/{}/messages",
        "/sessions/{}/events",
        "/profiles",
    ),
    *("/sessions/{}/runs/{}", "/sessions/{}/runs/{}/events", "/sessions/{}/runs/{}/log", "/sessions/{}/runs/{}/cancel"),
    *("/sessions/{}/runs/{}/approvals/{}", "/sessions/{}/files", "/tickets", "/health/ready", "/metrics", "/client.js"),
    *("/ws/sessions/{}", "/schema/openapi.json", "/nowhere/{}", "//", "/..", "/%2e%2e/%2e%2e/etc/passwd", "*"),
]
IDS = [
    "",
    "nobody",
    "..",
    "%00",
    "%0a",
    "%ff",
    "a" * 3000,
    "ses_0",
    "run_0",
    "%F0%9F%92%A9",
    "'; drop table runs; --",
    "{}",
]
POSITIONS = [
    "",
    "0",
    "0-0",
    "1-1",
    "-1",
    "1-",
    "99999999999999999999-1",
    "1-99999999999999999999",
    "x",
    "%00",
    "1-1-1",
    "1e9",
]
HEADERS = [
    *("content-type: application/json", "content-type: text/plain", "content-type: multipart/form-data; boundary=x"),
    *("content-type: multipart/form-data", "content-type: application/x-www-form-urlencoded", "accept: nothing/at-all"),
    *(
        "last-event-id: 1-1",
        "last-event-id: \x80",
        "idempotency-key: ",
        "idempotency-key: " + "k" * 500,
        "expect: 100-continue",
    ),
    *(
        "origin: null",
        "origin: http://evil.example",
        "authorization: Bearer x",
        "authorization: Basic \xff",
        "cookie: a=b",
    ),
    *(
        "upgrade: h2c",
        "connection: upgrade",
        "te: trailers",
        "range: bytes=0-1",
        "x-forwarded-for: 1.2.3.4",
        "accept-encoding: gzip",
    ),
    *("if-none-match: *", "content-encoding: gzip", "x: " + "y" * 9000, "sec-websocket-protocol: runcast.v1, bearer.x"),
]
FIELDS = [
    *("type", "content", "images", "files", "idempotency_key", "on_conflict", "on_disconnect", "request_id", "run_id"),
    *("call_id", "approved", "comment", "profile", "title", "session_id", "x"),
]
WORDS = [
    *(
        "message",
        "cancel",
        "approve",
        "ping",
        "reject",
        "queue",
        "interrupt",
        "",
        "a",
        "\x00",
        "\ud800",
        "\u202e",
        "é" * 50,
    ),
    *("data:image/png;base64,AAAA", "file:///etc/passwd", "x" * 2000, "1-1", "/quiet /length 3 /rate 0"),
]


def value(random: Random, depth: int = 3) -> Any:
    """Any JSON value, and some that are none."""
    kind = random.randrange(9 if depth else 6)
    if kind < 3:
        return random.choice(WORDS)
    if kind < 6:
        return random.choice([None, True, False, 0, -1, 2**70, 1.5, float("nan"), 10**400])
    if kind < 8:
        return {random.choice(FIELDS): value(random, depth - 1) for _ in range(random.randrange(5))}
    return [value(random, depth - 1) for _ in range(random.randrange(5))]


def document(random: Random) -> bytes:
    """What may be a command or a body, and mostly is none."""
    kind = random.randrange(10)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        return random.choice([b"[", b"{"]) * random.randrange(2000)
    text = json.dumps(value(random) if kind < 4 else {f: value(random, 2) for f in random.sample(FIELDS, 4)})
    return spoiled(random, text.encode()) if kind == 5 else text.encode()


def spoiled(random: Random, data: bytes) -> bytes:
    """The same with a few bytes changed, missing, or too many."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed) + 1)
        changed[at : at + random.randrange(4)] = random.randbytes(random.randrange(4))
    return bytes(changed)


def request(random: Random, host: str) -> bytes:
    """A request that is well framed, and asks for something that there mostly isn't."""
    path = random.choice(PLACES)
    while "{}" in path:
        path = path.replace("{}", random.choice(IDS).replace("{}", "x"), 1)
    query = random.choice(["", f"?after={random.choice(POSITIONS)}&wait=0.01&limit={random.choice(POSITIONS)}"])
    method = random.choice(METHODS)
    body = document(random) if method not in ("GET", "HEAD") or random.random() < 0.1 else b""
    lines = [f"{method} {path}{query} HTTP/1.1", f"host: {host}", "connection: close"]
    lines += [random.choice(HEADERS) for _ in range(random.randrange(4))]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def handshake(random: Random, host: str, session: str) -> bytes:
    """A WebSocket handshake, now and then a wrong one."""
    key = base64.b64encode(random.randbytes(16)).decode()
    query = random.choice(["", "", f"?after={random.choice(POSITIONS)}"])
    lines = [
        f"GET /ws/sessions/{session}{query} HTTP/1.1",
        f"host: {host}",
        "upgrade: websocket",
        "connection: upgrade",
    ]
    text = "\r\n".join([*lines, "sec-websocket-version: 13", f"sec-websocket-key: {key}", "", ""]).encode()
    return spoiled(random, text) if random.random() < 0.1 else text


def frame(random: Random) -> bytes:
    """A frame: a text mostly, of a good form mostly."""
    opcode = random.choice([1] * 60 + [0, 2, 2, 2, 3, 8, 9, 9, 10, 10, 15])
    data = document(random) if opcode < 8 else random.randbytes(random.choice([0, 2, 5, 125, 126]))
    first = random.choice([0x80] * 60 + [0x00, 0xC0, 0xF0]) | opcode
    mask = random.choice([0x80] * 60 + [0])
    size = len(data)
    length = struct.pack("!B", mask | size) if size < 126 else struct.pack("!BH", mask | 126, size)
    whole = bytes([first]) + length + (b"\0\0\0\0" if mask else b"") + data
    return spoiled(random, whole) if random.random() < 0.02 else whole
