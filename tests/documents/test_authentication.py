"""docs/how-to/authentication.md: its settings in a server, its commands in a shell, its script in a page."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values

from app.transports.auth.keys import mint
from tests.callers import ADA, jwk, jwks, rsa_key, token
from tests.documents.pages import Block
from tests.gateway import Gateway, Launch, environment

PAGE = "docs/how-to/authentication.md"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server over a folder: its address, and the folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path
        server.shutdown()


def settings(block: Block, **places: Path) -> dict[str, str]:
    """The settings that a block makes, its files where they are here."""
    said = {name.removeprefix("RUNCAST_").lower(): value or "" for name, value in _parsed(block).items()}
    return said | {name: str(place) for name, place in places.items()}


def _parsed(block: Block) -> dict[str, str | None]:
    return dotenv_values(stream=StringIO(block.text))


@pytest.mark.executes(PAGE, "dotenv", section="api-keys")
def test_a_server_with_the_settings_for_keys_knows_their_owners(
    launch: Launch, tmp_path: Path, blocks: list[Block]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# Ada's\n{ADA.entry}\n")
    gateway = launch(**settings(blocks[0], api_keys_file=keys))

    assert httpx.get(f"{gateway.url}/sessions").status_code == 401
    assert httpx.get(f"{gateway.url}/sessions", headers={"authorization": f"Bearer {ADA.key}"}).status_code == 200


@pytest.mark.executes(PAGE, "dotenv", section="jwt")
def test_a_server_with_the_settings_for_jwt_knows_its_provider(
    launch: Launch, tmp_path: Path, blocks: list[Block]
) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_text(jwks(jwk(rsa_key(), kid="1")))
    said = settings(blocks[0], jwt_keys_file=keys)
    gateway = launch(**said)
    claims = {"aud": said["jwt_audience"], "iss": said["jwt_issuer"]}
    good = token(rsa_key(), "RS256", headers={"kid": "1"}, **claims)
    foreign = token(rsa_key(), "RS256", headers={"kid": "1"}, **(claims | {"iss": "https://evil.example"}))

    statuses = [
        httpx.get(f"{gateway.url}/sessions", headers={"authorization": f"Bearer {shown}"}).status_code
        for shown in (good, foreign)
    ]
    assert statuses == [200, 401]


@pytest.mark.executes(PAGE, "http")
def test_the_header_lets_in(guarded: Gateway, blocks: list[Block]) -> None:
    name, _, value = blocks[0].text.strip().replace("<token>", ADA.key).partition(": ")

    assert httpx.get(f"{guarded.url}/sessions", headers={name: value}).status_code == 200


@pytest.mark.executes(PAGE, "console")
def test_a_key_is_made_as_it_is_shown(blocks: list[Block]) -> None:
    command, *shown = blocks[0].text.splitlines()
    assert command.startswith("$ .venv/bin/runcast ")
    words = command.removeprefix("$ .venv/bin/runcast ").split()
    made = subprocess.run(
        [sys.executable, "-m", "app", *words], env=environment(), capture_output=True, text=True, check=True
    ).stdout.splitlines()

    patterns = [re.escape(line).replace(re.escape("..."), r"[\w-]+") for line in shown]
    patterns = [re.sub(r"rc_\w\w\w|(?<=ada:)\w{4}", r"[\\w]+", pattern) for pattern in patterns]
    assert [bool(re.fullmatch(*pair)) for pair in zip(patterns, made, strict=True)] == [True, True]
    assert re.fullmatch(r"rc_[\w-]+", mint("ada").key)


@pytest.mark.executes(PAGE, "sh", section="jwt")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_providers_keys_are_fetched_into_place_or_left_alone(
    served: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory, blocks: list[Block]
) -> None:
    url, folder = served
    here = tmp_path_factory.mktemp("etc")
    place = here / "jwks.json"
    place.write_text("the old ones")
    command = blocks[0].text.replace("https://id.example", url).replace("/etc/runcast/jwks.json", str(place))
    assert command.count(url) == command.count(str(place)) == 1
    missing = subprocess.run(["sh", "-c", command], cwd=here, capture_output=True, check=False)
    left = place.read_text()
    (folder / ".well-known").mkdir()
    (folder / ".well-known" / "jwks.json").write_text(jwks(jwk(rsa_key(), kid="2")))
    subprocess.run(["sh", "-c", command], cwd=here, check=True)

    assert (missing.returncode != 0, left) == (True, "the old ones")
    assert json.loads(place.read_text())["keys"][0]["kid"] == "2"
