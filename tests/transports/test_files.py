"""POST /sessions/{session_id}/files: what it takes, what it refuses, and what becomes of it (P4.3, P6.6)."""

import asyncio
import hashlib
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.documents.pages import Block
from tests.gateway import Gateway, Launch, log_of, new_session
from tests.raw_http import exchange, request
from tests.transports.test_rest import is_problem
from tests.watching import PATIENCE, watch_ws

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
NOT_OURS = "$.files[0]: not a file of this session"


async def upload(http: httpx.AsyncClient, session: str, data: bytes = b"Hello", name: str = "a.txt") -> httpx.Response:
    return await http.post(f"/sessions/{session}/files", files={"file": (name, data, "text/html")})


def on_disk(gateway: Gateway) -> list[Path]:
    return [path for path in (gateway.data_dir / "files").rglob("*") if path.is_file()]


def part(name: str = "file", filename: str | None = "a.txt", data: bytes = b"Hello", *headers: str) -> bytes:
    about = f'content-disposition: form-data; name="{name}"'
    about += f'; filename="{filename}"' if filename is not None else ""
    return "\r\n".join(["--xx", about, *headers, "", ""]).encode() + data + b"\r\n"


async def post(gateway: Gateway, session: str, body: bytes, kind: str = "multipart/form-data; boundary=xx") -> Any:
    async with gateway.client() as http:
        return await http.post(f"/sessions/{session}/files", content=body, headers={"content-type": kind})


def read(gateway: Gateway, file_id: str) -> tuple[str, bytes]:
    """Where a file is, and its bytes."""
    (path,) = [path for path in on_disk(gateway) if path.name.startswith(file_id)]
    return str(path.absolute()), path.read_bytes()


async def test_a_file_is_taken_in_and_its_type_is_what_its_bytes_say(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
        answer = await upload(http, session, b"\x89PNG\r\n\x1a\n" + bytes(100), "../../pretty\u202egnp.html")
        again = await upload(http, session, b"<script>", "../../pretty\u202egnp.html")

    file = answer.json()
    assert answer.status_code == 201
    assert file.keys() == {"id", "name", "path", "size", "media_type"}
    assert (file["name"], file["size"], file["media_type"]) == ("prettygnp.html", 108, "image/png")
    assert again.json()["media_type"] == "text/plain"
    assert again.json()["id"] != file["id"]
    assert read(gateway, file["id"]) == (file["path"], b"\x89PNG\r\n\x1a\n" + bytes(100))


async def ask(gateway: Gateway, http: httpx.AsyncClient, session: str, transport: str, body: Any) -> str:
    """Start a run over either transport; its id."""
    if transport == "http":
        return str((await http.post(f"/sessions/{session}/runs", json=body)).raise_for_status().json()["id"])
    async with watch_ws(gateway, session) as viewer:
        assert viewer.socket is not None
        await viewer.socket.send(json.dumps({"type": "message", "request_id": "r", **body}))
        return str((await viewer.until_type("ack"))[-1].message["run_id"])


@pytest.mark.executes("docs/protocol.md", "text")
@pytest.mark.parametrize("agent", ["reader:agent", "reader:original"])
async def test_an_agent_opens_what_a_client_uploaded(launch: Launch, agent: str, blocks: list[Block]) -> None:
    gateway = launch(agent=agent)
    data = os.urandom(3 * MEBIBYTE)
    async with gateway.client() as http:
        session = await new_session(http)
        file = (await upload(http, session, data, "data.bin")).json()
        shown = {"id": file["id"], "name": "data.bin"}
        listed = re.sub("- .* → .*]", f"- data.bin → {file['path']}]", blocks[0].text.strip())
        for transport, named in product(("ws", "http"), (file["id"], {"name": "data.bin", "path": file["path"]})):
            run = await ask(gateway, http, session, transport, {"content": "Look", "files": [named]})
            events = [json.loads(event) for event in await log_of(http, session, run)]
            heard = json.loads(events[-1]["content"])
            assert events[0]["input"] == {"content": "Look", "images": 0, "files": [shown]}
            assert heard["content"] == f"Look\n\n{listed}"
            assert heard["digests"] == [hashlib.sha256(data).hexdigest()]
            assert heard.get("files", [file]) == [file]
        transcript = (await http.get(f"/sessions/{session}/messages")).json()["items"]

    assert [(said["content"], said["files"]) for said in transcript[::2]] == [("Look", [shown])] * 4


async def test_files_are_nobodys_but_their_sessions(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session, other = await new_session(http), await new_session(http)
        file = (await upload(http, session)).json()
        for wrong in (
            file["id"],
            {"name": file["name"], "path": file["path"]},
            {"name": "passwd", "path": "/etc/passwd"},
        ):
            answer = await http.post(f"/sessions/{other}/runs", json={"content": "x", "files": [wrong]})
            assert is_problem(answer, 422, "invalid_message")
            assert answer.json()["detail"] == NOT_OURS
        for path in (f"/sessions/{session}/files", f"/sessions/{session}/files/{file['id']}", file["path"]):
            assert (await http.get(path)).status_code in (404, 405)


async def test_a_session_that_is_not_there_takes_no_file(gateway: Gateway) -> None:
    async with gateway.client() as http:
        assert is_problem(await upload(http, "nowhere"), 404, "session_not_found")


async def test_more_than_a_message_may_have_is_taken_and_more_than_a_file_may_have_is_not(launch: Launch) -> None:
    gateway = launch(max_message_bytes="1024", max_upload_bytes=str(MEBIBYTE))
    async with gateway.client() as http:
        session = await new_session(http)
        whole = await upload(http, session, b"x" * MEBIBYTE)
        over = await upload(http, session, b"x" * (MEBIBYTE + 1))
        far_over = await upload(http, session, b"x" * 12 * MEBIBYTE)
        after = await upload(http, session)

    assert (whole.status_code, whole.json()["size"]) == (201, MEBIBYTE)
    assert is_problem(over, 413, "too_large")
    assert is_problem(far_over, 413, "too_large")
    assert after.status_code == 201
    assert sorted(path.stat().st_size for path in on_disk(gateway)) == [5, MEBIBYTE]


async def test_a_body_without_a_length_is_cut_at_the_limit(launch: Launch) -> None:
    gateway = launch(max_upload_bytes="65536")

    async def chunks() -> Any:
        yield part(data=b"")[:-2]
        for _ in range(100):
            yield b"x" * 65536

    async with gateway.client() as http:
        session = await new_session(http)
        kind = {"content-type": "multipart/form-data; boundary=xx"}
        answer = await http.post(f"/sessions/{session}/files", content=chunks(), headers=kind)

    assert is_problem(answer, 413, "too_large")
    assert on_disk(gateway) == []


async def test_a_session_holds_so_much(launch: Launch) -> None:
    gateway = launch(max_session_files="2", max_session_file_bytes="100")
    async with gateway.client() as http:
        session, other = await new_session(http), await new_session(http)
        assert (await upload(http, session, b"x" * 100)).status_code == 201
        assert is_problem(await upload(http, session), 413, "too_large")
        for _ in range(2):
            assert (await upload(http, other)).status_code == 201
        assert is_problem(await upload(http, other), 413, "too_large")
    assert len(on_disk(gateway)) == 3


WHOLE = part() + b"--xx--\r\n"
BROKEN = [
    ("no part", b"--xx--\r\n", "$.file: this field is required"),
    ("nothing", b"", None),
    ("no multipart", b"{}", None),
    ("another field", part("other") + b"--xx--", "$.file: expected this field alone"),
    ("no file", part(filename=None) + b"--xx--", "$.file: expected a file"),
    ("two files", part() + WHOLE, "$.file: one file in a request, and no other field"),
    ("a field after it", part() + part("note", None) + b"--xx--", "$.file: one file in a request, and no other field"),
    ("cut in the bytes", part()[:-4], None),
    ("cut before the end", part(), None),
    ("cut in the head", part()[:20], None),
    ("a head that never ends", b"--xx\r\n" + b"a" * 9000, None),
    ("many heads", part("file", "a", b"x", *(f"x-{n}: y" for n in range(20))) + b"--xx--", None),
    (
        "a head that is no text",
        b'--xx\r\ncontent-disposition: form-data; name="file"; filename="\xff"\r\n\r\nx\r\n--xx--',
        None,
    ),
    ("no disposition", b"--xx\r\nx: y\r\n\r\nHello\r\n--xx--", None),
    ("bare line feeds", WHOLE.replace(b"\r\n", b"\n"), None),
]


@pytest.mark.parametrize(("body", "detail"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
async def test_a_broken_form_is_refused_and_leaves_nothing(gateway: Gateway, body: bytes, detail: str | None) -> None:
    before = on_disk(gateway)
    async with gateway.client() as http:
        session = await new_session(http)
    answer = await post(gateway, session, body)
    assert is_problem(answer, 422, "invalid_message")
    if detail is None:
        assert answer.json()["detail"].startswith("$: the multipart body can't be read: ")
    else:
        assert answer.json()["detail"] == detail
    assert on_disk(gateway) == before


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/mixed; boundary=xx",
        "",
    ],
)
async def test_another_kind_of_body_is_refused(gateway: Gateway, kind: str) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
    assert is_problem(await post(gateway, session, WHOLE, kind), 422, "invalid_message")


async def test_ten_thousand_parts_are_not_looked_at(gateway: Gateway) -> None:
    async with gateway.client() as http:
        session = await new_session(http)
    answer = await post(gateway, session, part() * 10_000 + b"--xx--")
    assert is_problem(answer, 422, "invalid_message")


@asynccontextmanager
async def half_an_upload(gateway: Gateway, session: str) -> AsyncIterator[None]:
    """An upload whose second half never comes, as long as it is entered; a part of it is on the disk."""
    before = len(on_disk(gateway))
    address = urlsplit(gateway.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    headers = ("content-type: multipart/form-data; boundary=xx", "content-length: 2000000")
    head = request(gateway, f"/sessions/{session}/files", *headers, method="POST")
    try:
        writer.write(head + part(data=b"x" * 1_000_000))
        async with asyncio.timeout(PATIENCE):
            while len(on_disk(gateway)) == before:  # noqa: ASYNC110 - a folder has no event to wait for
                await asyncio.sleep(0.01)
        yield
    finally:
        writer.close()


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
    async with half_an_upload(gateway, session):
        pass
    async with asyncio.timeout(PATIENCE):
        while on_disk(gateway):  # noqa: ASYNC110 - a folder has no event to wait for
            await asyncio.sleep(0.01)


async def test_an_upload_does_not_hold_up_a_server_that_goes_away(launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
    async with half_an_upload(gateway, session):
        began = time.monotonic()
        assert await asyncio.to_thread(gateway.stop) == -signal.SIGTERM
    assert time.monotonic() - began < 4  # the server would wait five seconds for a request that does not end
    assert on_disk(gateway) == []


async def test_who_asks_before_sending_is_refused_before_sending(gateway: Gateway) -> None:
    headers = ("content-type: multipart/form-data; boundary=xx", "content-length: 900000000", "expect: 100-continue")
    async with gateway.client() as http:
        session = await new_session(http)
    for path, status in ((f"/sessions/{session}/files", "413"), ("/sessions/nowhere/files", "404")):
        async with exchange(gateway, request(gateway, path, *headers, method="POST")) as (line, _, _):
            assert status in line


async def test_a_kill_during_an_upload_leaves_nothing_behind_the_next_start(launch: Launch) -> None:
    gateway = launch()
    async with gateway.client() as http:
        session = await new_session(http)
        kept = (await upload(http, session)).json()
    async with half_an_upload(gateway, session):
        gateway.kill()
    assert len(on_disk(gateway)) == 2
    gateway.start()

    assert on_disk(gateway) == [Path(kept["path"])]
    async with gateway.client() as http:
        answer = await http.post(f"/sessions/{session}/runs", json={"content": "x", "files": [kept["id"]]})
        assert answer.status_code == 202
        assert (await http.delete(f"/sessions/{session}")).status_code == 204
    assert on_disk(gateway) == []
