"""Section 4 of the protocol: commands over a WebSocket, sent by the client of another project."""

import asyncio
import base64
import json
import sqlite3
import struct
from contextlib import closing
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.gateway import Gateway, Launch, log_of, new_session, start
from tests.watching import PATIENCE, Watch, watch_ws

pytestmark = pytest.mark.anyio

QUICK = "/quiet /length 5 /rate 0"
LONG = "/quiet /length 2000 /rate 50"

NOT_JSON = [
    "",
    "nonsense",
    "{",
    '{"type":"ping"',
    '{"type":"ping"} {"type":"ping"}',
    "NaN",
    "'{}'",
    "\ufeff{}",
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"type":"ping","n":"\\ud800"}',
]
WRONG = [
    ("[]", "$"),
    ('[{"type":"ping"}]', "$"),
    ("3", "$"),
    ("null", "$"),
    ('"ping"', "$"),
    ("true", "$"),
    ("9" * 5000, "$"),
    ("{}", "$.type"),
    ('{"type":3}', "$.type"),
    ('{"type":null}', "$.type"),
    ('{"type":["ping"]}', "$.type"),
    ('{"type":"message"}', "$.content"),
    ('{"type":"message","content":null}', "$.content"),
    ('{"type":"message","content":3}', "$.content"),
    ('{"type":"message","content":%s}' % ("9" * 5000), "$.content"),
    ('{"type":"message","content":["a"]}', "$.content"),
    ('{"type":"message","content":{"a":1}}', "$.content"),
    ('{"type":"message","content":""}', "$.content"),
    (json.dumps({"type": "message", "content": "x" * 100_001}), "$.content"),
    ('{"type":"message","content":"a","images":"abc"}', "$.images"),
    ('{"type":"message","content":"a","images":[3]}', "$.images[0]"),
    ('{"type":"message","content":"a","images":{}}', "$.images"),
    ('{"type":"message","content":"a","files":"abc"}', "$.files"),
    ('{"type":"message","content":"a","files":[{"name":"passwd","path":"/etc/passwd"}]}', "$.files[0]"),
    ('{"type":"message","content":"a","files":["file_of_nobody"]}', "$.files[0]"),
    ('{"type":"message","content":"a","on_conflict":"never"}', "$.on_conflict"),
    ('{"type":"message","content":"a","on_disconnect":1}', "$.on_disconnect"),
    ('{"type":"message","content":"a","idempotency_key":1}', "$.idempotency_key"),
    ('{"type":"message","content":"a","idempotency_key":""}', "$.idempotency_key"),
    (json.dumps({"type": "message", "content": "a", "idempotency_key": "x" * 129}), "$.idempotency_key"),
    ('{"type":"cancel","run_id":7}', "$.run_id"),
    ('{"type":"ping","request_id":7}', "$.request_id"),
    ('{"type":"ping","n":%s}' % ("[" * 40 + "]" * 40), "$"),
    (json.dumps({"type": "ping", "n": [{}] * 300_000}), "$"),
    (json.dumps({"type": "ping", "request_id": "x" * 129}), "$.request_id"),
]


class Caller:
    """A viewer that sends commands."""

    def __init__(self, watch: Watch) -> None:
        assert watch.socket is not None
        self.watch = watch
        self.socket: ClientConnection = watch.socket

    async def reply(self) -> dict[str, Any]:
        """The next message that answers a command."""
        items = await self.watch.until(lambda item: item.id is None and item.type in {"ack", "error", "pong"})
        return items[-1].message

    async def ask(self, frame: Any) -> dict[str, Any]:
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        return await self.reply()

    async def closed(self) -> int | None:
        """Wait until the server has closed; the close code."""
        with pytest.raises(ConnectionClosed):
            await self.watch.until(lambda _: False)
        return self.socket.close_code


async def session_of(gateway: Gateway) -> str:
    async with gateway.client() as http:
        return await new_session(http)


async def test_a_frame_that_is_not_json_is_refused_and_the_connection_lives(gateway: Gateway) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        caller = Caller(watch)
        for frame in NOT_JSON:
            answer = await caller.ask(frame)
            assert (frame[:40], answer["type"], answer["code"]) == (frame[:40], "error", "invalid_json")
            assert await caller.ask({"type": "ping"}) == {"type": "pong"}


@pytest.mark.parametrize("half", [0, 1])
async def test_a_wrong_frame_gets_the_path_of_its_wrong_field_and_the_connection_lives(
    gateway: Gateway, half: int
) -> None:
    session = await session_of(gateway)
    async with watch_ws(gateway, session) as watch:
        caller = Caller(watch)
        for frame, path in WRONG[half::2]:
            answer = await caller.ask(frame)
            assert (frame[:60], answer["type"]) == (frame[:60], "error")
            assert answer["code"] == "invalid_message" or (answer["code"] == "invalid_json" and "999" in frame)
            assert answer["message"].startswith(f"{path}:") or "999" in frame
            assert await caller.ask({"type": "ping"}) == {"type": "pong"}
        await caller.socket.send(json.dumps({"type": "message", "content": QUICK}))
        assert (await watch.until_terminal())[-1].type == "stream_end"
    async with gateway.client() as http:
        assert len((await http.get(f"/sessions/{session}/runs")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "nonsense", "request_id": "r1"}, "unknown_type"),
        ({"request_id": "r1"}, "invalid_message"),
        ({"type": "message", "request_id": "r1"}, "invalid_message"),
        ({"type": "message", "content": 3, "images": 4, "request_id": "r1"}, "invalid_message"),
        ({"type": "cancel", "run_id": "run_of_nobody", "request_id": "r1"}, "run_not_found"),
        ({"type": "cancel", "request_id": "r1"}, "run_not_found"),
    ],
)
async def test_a_refusal_repeats_the_request_id(gateway: Gateway, frame: dict[str, Any], code: str) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        answer = await Caller(watch).ask(frame)

    assert (answer["code"], answer["request_id"]) == (code, "r1")


async def test_a_binary_frame_is_refused_and_the_connection_lives(gateway: Gateway) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        caller = Caller(watch)
        for frame in (b"", b'{"type":"ping"}', b"\xff\xfe", b"\0" * 70_000):
            assert (await caller.ask(frame))["code"] == "invalid_json"
        assert await caller.ask({"type": "ping", "request_id": "p"}) == {"type": "pong"}
        assert await caller.reply() == {"type": "ack", "request_id": "p"}


async def test_a_text_frame_that_is_not_utf_8_closes_with_1007(gateway: Gateway) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        await watch.until_type("caught_up")
        caller = Caller(watch)
        await caller.socket.send(b'{"type":"ping\xff"}', text=True)
        assert await caller.closed() == 1007


async def test_a_frame_over_the_limit_closes_with_1009_however_it_is_cut(launch: Launch) -> None:
    gateway = launch(max_message_bytes="65536")
    session = await session_of(gateway)
    limit = '{"type":"ping","pad":"' + "x" * (65536 - 24) + '"}'
    assert len(limit) == 65536
    pieces = [limit[at : at + 8192] for at in range(0, 65536, 8192)]
    for frame in (limit + " ", [*pieces, " "]):
        async with watch_ws(gateway, session) as watch:
            caller = Caller(watch)
            assert await caller.ask(limit) == {"type": "pong"}
            await caller.socket.send(frame)
            assert await caller.closed() == 1009


async def test_commands_over_the_limit_are_refused_and_the_connection_lives(gateway: Gateway) -> None:
    session = await session_of(gateway)
    async with watch_ws(gateway, session) as watch:
        caller = Caller(watch)
        served = [await caller.ask({"type": "ping"}) for _ in range(120)]
        answers = [await caller.ask({"type": "ping", "request_id": str(n)}) for n in range(20)]
        async with gateway.client() as http:
            await start(http, session, QUICK)
        assert (await watch.until_terminal())[-1].type == "stream_end"
        await caller.ask({"type": "ping"})
        code = await caller.closed()

    assert served == [{"type": "pong"}] * 120
    assert [(answer["code"], answer["request_id"]) for answer in answers] == [
        ("rate_limited", str(n)) for n in range(20)
    ]
    assert code == 4429


async def test_the_21st_refused_frame_in_a_minute_closes_with_4429(gateway: Gateway) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        caller = Caller(watch)
        for number in range(20):
            frame = ("nonsense", {"type": "nonsense"}, {"type": "message"}, b"")[number % 4]
            assert (await caller.ask(frame))["type"] == "error"
            assert await caller.ask({"type": "ping"}) == {"type": "pong"}
        await caller.socket.send("nonsense")
        assert await caller.closed() == 4429


async def test_an_unknown_session_is_closed_with_4004_after_the_handshake(gateway: Gateway) -> None:
    deleted = await session_of(gateway)
    async with gateway.client() as http:
        assert (await http.delete(f"/sessions/{deleted}")).status_code == 204
    for session in ("ses_of_nobody", deleted, "x" * 500):
        async with watch_ws(gateway, session) as watch:
            assert await Caller(watch).closed() == 4004


async def test_a_foreign_origin_is_closed_with_4403_and_own_and_allowed_ones_pass(launch: Launch) -> None:
    gateway = launch(allowed_origins="https://app.example,http://other.example:8080")
    session = await session_of(gateway)
    passing = [gateway.url, "https://app.example", "http://other.example:8080", "HTTPS://APP.example"]
    foreign = [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "http://app.example",
        "https://app.example:444",
        "http://other.example",
        f"{gateway.url}.evil.example",
        f"{gateway.url}1",
        "http://127.0.0.1",
    ]
    for origin in passing:
        async with watch_ws(gateway, session, origin=origin) as watch:
            assert await Caller(watch).ask({"type": "ping"}) == {"type": "pong"}
    for origin in foreign:
        async with watch_ws(gateway, session, origin=origin) as watch:
            assert (origin, await Caller(watch).closed()) == (origin, 4403)


async def test_commands_are_read_while_a_run_streams(gateway: Gateway) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        caller = Caller(watch)
        started = await caller.ask({"type": "message", "content": LONG, "request_id": "m"})
        await watch.until_type("stream_delta")
        assert await caller.ask({"type": "ping"}) == {"type": "pong"}
        active = await caller.ask({"type": "message", "content": "me too", "request_id": "second"})
        assert (active["type"], active["code"], active["request_id"]) == ("error", "run_active", "second")

        await caller.socket.send(json.dumps({"type": "cancel", "request_id": "c"}))
        last = [await watch.next()]
        while not ({"ack", "stream_cancelled"} <= {item.type for item in last}):
            last.append(await watch.next())
        by_type = {item.type: item.message for item in last}

        assert by_type["ack"] == {"type": "ack", "request_id": "c", "run_id": started["run_id"]}
        assert by_type["stream_cancelled"]["reason"] == "cancelled"
        again = await caller.ask({"type": "cancel", "run_id": started["run_id"], "request_id": "again"})
        assert again == {"type": "ack", "request_id": "again", "run_id": started["run_id"]}
        await caller.socket.send(json.dumps({"type": "message", "content": QUICK}))
        assert (await watch.until_terminal())[-1].type == "stream_end"


async def test_a_cancelled_run_keeps_the_text_so_far_and_says_no_more(gateway: Gateway) -> None:
    session = await session_of(gateway)
    async with watch_ws(gateway, session) as watch:
        caller = Caller(watch)
        started = await caller.ask({"type": "message", "content": LONG, "request_id": "m"})
        seen = await watch.until_type("stream_delta")
        await caller.socket.send(json.dumps({"type": "cancel"}))
        seen += await watch.until_terminal()
    async with gateway.client() as http:
        log = await log_of(http, session, started["run_id"])
        row = (await http.get(f"/sessions/{session}/runs/{started['run_id']}")).json()

    text = "".join(item.message["delta"] for item in seen if item.type == "stream_delta")
    assert seen[-1].message["content"] == text != ""
    assert log[-1] == seen[-1].raw
    assert (row["status"], row["position"]) == ("cancelled", seen[-1].id)


@pytest.mark.faults
async def test_eight_concurrent_retries_over_both_transports_start_one_run(gateway: Gateway) -> None:
    session = await session_of(gateway)
    body = {"content": LONG, "on_disconnect": "continue"}

    async def by_socket() -> str:
        async with watch_ws(gateway, session) as watch:
            command = {"type": "message", "idempotency_key": "once", "request_id": "r", **body}
            return str((await Caller(watch).ask(command))["run_id"])

    async def by_post() -> str:
        async with gateway.client() as http:
            answer = await http.post(f"/sessions/{session}/runs", json=body, headers={"idempotency-key": "once"})
            assert answer.status_code in (200, 202)
            return str(answer.json()["id"])

    async with asyncio.timeout(PATIENCE):
        ids = await asyncio.gather(*(by_socket() if number % 2 else by_post() for number in range(8)))
    async with gateway.client() as http:
        listed = (await http.get(f"/sessions/{session}/runs")).json()["items"]
        await http.post(f"/sessions/{session}/runs/{ids[0]}/cancel")
        await log_of(http, session, ids[0])
        later = await http.post(f"/sessions/{session}/runs", json={**body, "idempotency_key": "once"})
        other = await http.post(
            f"/sessions/{session}/runs", json={"content": "other"}, headers={"idempotency-key": "once"}
        )

    assert set(ids) == {run["id"] for run in listed}
    assert len(listed) == 1
    assert (later.status_code, later.json()["id"], later.json()["status"]) == (200, ids[0], "cancelled")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    async with watch_ws(gateway, session) as watch:
        refused = await Caller(watch).ask({"type": "message", "content": "other", "idempotency_key": "once"})
        assert refused["code"] == "idempotency_mismatch"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"


GIF = b"GIF89a" + struct.pack("<HH", 4, 4) + b"\0" * 8
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 9, 9) + b"\x03"
WEBP = b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x07\0\0\x07\0\0"


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


async def test_images_of_every_kind_reach_the_agent(gateway: Gateway) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        images = [data_url(png(3, 3)), base64.b64encode(GIF).decode(), data_url(JPEG), data_url(WEBP)]
        command = {"type": "message", "content": "/rate 0", "images": images}
        await Caller(watch).socket.send(json.dumps(command))
        seen = await watch.until_terminal()

    start_message = next(item.message for item in seen if item.type == "stream_start")
    assert start_message["input"]["images"] == 4
    assert "It came with 4 images." in seen[-1].message["content"]


UNACCEPTABLE = {
    "a remote url": "https://evil.example/cat.png",
    "a file url": "file:///etc/passwd",
    "nothing": "",
    "an empty data url": "data:image/png;base64,",
    "no base64": "!!!!",
    "svg": data_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    "half a header": data_url(b"\x89PNG\r\n\x1a\n"),
    "2,500 megapixels": data_url(png(50_000, 50_000)),
    "no width": data_url(png(0, 3)),
    "a cut jpeg": data_url(JPEG[:12]),
    "over 5 MiB": data_url(png(3, 3) + b"\0" * (5 * 1024 * 1024)),
}


@pytest.mark.parametrize("kind", UNACCEPTABLE)
async def test_what_is_no_acceptable_image_is_refused_by_its_path(gateway: Gateway, kind: str) -> None:
    image = UNACCEPTABLE[kind]
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        command = {"type": "message", "content": "look", "images": [data_url(png(3, 3)), image]}
        answer = await Caller(watch).ask(command)

    assert answer["code"] == "invalid_message"
    assert answer["message"].startswith("$.images[1]:")


async def test_five_images_are_too_many(gateway: Gateway) -> None:
    async with watch_ws(gateway, await session_of(gateway)) as watch:
        command = {"type": "message", "content": "look", "images": [data_url(png(3, 3))] * 5}
        answer = await Caller(watch).ask(command)

    assert (answer["code"], answer["message"].split(":")[0]) == ("invalid_message", "$.images")


async def test_a_run_goes_on_when_the_socket_that_started_it_is_gone(gateway: Gateway) -> None:
    session = await session_of(gateway)
    async with watch_ws(gateway, session) as watch:
        command = {"type": "message", "content": "/quiet /length 60 /rate 100", "request_id": "m"}
        run = (await Caller(watch).ask(command))["run_id"]
    async with gateway.client() as http:
        log = await log_of(http, session, run)

    assert json.loads(log[-1])["type"] == "stream_end"


async def test_a_second_run_started_over_http_reaches_the_socket_in_order(gateway: Gateway) -> None:
    session = await session_of(gateway)
    async with gateway.client() as http, watch_ws(gateway, session) as watch:
        for number in (1, 2):
            await start(http, session, QUICK)
            assert (await watch.until_terminal())[-1].message["id"].startswith(f"{number}-")


async def test_what_can_not_be_read_closes_the_socket_as_a_fault_of_the_server(launch: Launch) -> None:
    gateway = launch(asked_for=("storage.failed",))
    async with gateway.client() as http:
        session = await new_session(http)
        await log_of(http, session, await start(http, session, "/quiet /length 8 /rate 0"))
    gateway.stop()
    with closing(sqlite3.connect(gateway.data_dir / "sessions.sqlite3")) as rows:
        rows.execute("UPDATE archives SET body = x'00'")
        rows.commit()
    gateway.start()
    async with watch_ws(gateway, session, "1-1") as viewer:
        assert viewer.socket is not None
        with pytest.raises(ConnectionClosed):
            await viewer.until_terminal()
        code = viewer.socket.close_code

    assert code == 1011
    assert len(gateway.said("storage.failed")) == 1
