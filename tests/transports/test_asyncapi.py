"""The AsyncAPI document: current, valid, complete, and given out by the server that it describes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from litestar.routes import WebSocketRoute

from app import errors
from app.__main__ import main
from app.dialects.messages import ReplyMessage, StreamMessage
from app.main import create_app
from app.settings import Settings
from app.transports.cattrs_plugin import tag_of
from app.transports.commands import Command
from tests.callers import keyed
from tests.gateway import Gateway, Launch

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "openapi" / "asyncapi.json"
DOCUMENT: dict[str, Any] = json.loads(COMMITTED.read_text(encoding="utf-8"))
CHANNEL = DOCUMENT["channels"]["session"]


def tags(union: Any) -> set[str | None]:
    return {tag_of(kind) for kind in get_args(union)}


def named(references: list[dict[str, str]]) -> set[str]:
    return {reference["$ref"].removeprefix("#/channels/session/messages/") for reference in references}


def test_the_committed_document_is_what_the_app_exports():
    exported = CliRunner().invoke(main, ["asyncapi"], catch_exceptions=False)

    assert exported.output == COMMITTED.read_text(encoding="utf-8"), "run `make openapi`"


@pytest.mark.skipif(
    not (ROOT / "openapi/sdk/node_modules/installed").exists(), reason="the node packages are missing: run make node"
)
def test_asyncapis_own_parser_finds_nothing_wrong():
    checked = subprocess.run(
        [str(shutil.which("node")), "check-asyncapi.mjs", str(COMMITTED)],
        cwd=ROOT / "openapi" / "sdk",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert [line for line in checked.stdout.splitlines() if "asyncapi-latest-version" not in line] == []


def test_it_has_every_websocket_of_the_app():
    routes = {route.path_format for route in create_app(Settings()).routes if isinstance(route, WebSocketRoute)}

    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == routes


def test_the_channel_has_every_message_of_both_directions():
    assert set(CHANNEL["messages"]) == tags(StreamMessage | ReplyMessage | Command)
    for name, message in CHANNEL["messages"].items():
        schema = DOCUMENT["components"]["schemas"][message["title"]]
        assert message["payload"] == {"$ref": f"#/components/schemas/{message['title']}"}
        assert message["summary"] == schema["description"]
        assert message["name"] == name == schema["properties"]["type"]["const"]
        assert ("correlationId" in message) == ("request_id" in schema["properties"])


def test_the_server_sends_events_and_answers_and_receives_every_command():
    operations = DOCUMENT["operations"]
    received = {name: each for name, each in operations.items() if each["action"] == "receive"}

    assert named(operations["sendEvents"]["messages"]) == tags(StreamMessage)
    assert named(operations["sendAnswers"]["messages"]) == tags(ReplyMessage)
    assert set(operations) - set(received) == {"sendEvents", "sendAnswers"}
    assert set().union(*(named(each["messages"]) for each in received.values())) == tags(Command)
    for name, each in received.items():
        assert named(each["reply"]["messages"]) == {"ack", "error"} | ({"pong"} if name == "ping" else set())


def test_every_close_code_is_listed_with_the_final_ones_marked():
    listed = {each["code"]: each["final"] for each in CHANNEL["x-close-codes"]}
    refusals = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Refusal)]
    source = (ROOT / "app/transports/websocket.py").read_text(encoding="utf-8")

    assert {kind.close_code for kind in refusals} <= set(listed)
    assert {int(code) for code in re.findall(r"\b(?:1\d{3}|4[045]\d{2})\b", source)} <= set(listed)
    assert {code for code, final in listed.items() if final} == {4004, 4400, 4401, 4403}
    assert all(f"| {code} |" in CHANNEL["description"] for code in listed)


def test_it_says_where_a_viewer_begins_and_who_may():
    binding = CHANNEL["bindings"]["ws"]

    assert set(binding["query"]["properties"]) == {"after", "ticket"}
    assert "bearer.<token>" in binding["headers"]["properties"]["Sec-WebSocket-Protocol"]["description"]
    assert set(CHANNEL["parameters"]) == {"session_id"}
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"bearer", "ticket", "subprotocol"}


@pytest.mark.anyio
async def test_a_server_gives_the_contracts_to_everybody(launch: Launch):
    async with keyed(launch).client() as http:
        for contract in ("openapi", "asyncapi", "messages"):
            answer = await http.get(f"/schema/{contract}.json")

            assert answer.status_code == 200
            assert answer.headers["content-type"].partition(";")[0].endswith("json")
            assert answer.json().keys() == json.loads((ROOT / f"openapi/{contract}.json").read_text()).keys()


@pytest.mark.anyio
async def test_a_servers_own_document_names_that_server_and_its_base_path(launch: Launch):
    gateway: Gateway = launch(base_path="/agents")
    async with gateway.client() as http:
        served = (await http.get("/schema/asyncapi.json")).json()

    address = gateway.url.removeprefix("http://").removesuffix("/agents")
    server = served["servers"]["gateway"]
    assert (server["protocol"], server["host"], server["pathname"]) == ("ws", address, "/agents")
    assert served["channels"] == DOCUMENT["channels"]
