"""docs/how-to/generated-sdks.md against the programs that it is about."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.gateway import Gateway, gateway
from tests.sdks import page
from tests.sdks.conftest import NODE_MODULES, TOOLS
from tests.sdks.performing import PROGRAMS

__all__ = ["gateway"]

EXAMPLES = page.ROOT / "openapi" / "sdk" / "examples"


@pytest.mark.executes("docs/how-to/generated-sdks.md", "ts", "python")
def test_its_code_stands_in_the_programs() -> None:
    programs = [(EXAMPLES / name).read_text(encoding="utf-8") for name in PROGRAMS]

    assert [block for kind in ("ts", "python") for block in page.blocks(kind) if block not in "\n".join(programs)] == []


def test_it_knows_how_long_the_programs_are() -> None:
    told = dict(re.findall(r"\[(\w+\.\w+)\]\(\S+\), (\d+) lines", page.TEXT))

    assert told == {name: str(len((EXAMPLES / name).read_text(encoding="utf-8").splitlines())) for name in PROGRAMS}


@pytest.mark.skipif(not (NODE_MODULES / "installed").exists(), reason="the node packages are missing: run make node")
@pytest.mark.executes("docs/how-to/generated-sdks.md", "bash")
def test_its_commands_generate_clients_of_a_running_server(gateway: Gateway, tmp_path: Path) -> None:
    (commands,) = page.blocks("bash")
    assert commands.count("npx ") == 2
    here = commands.replace("npx @hey-api/", "").replace("npx ", "").replace("http://localhost:8000", gateway.url)
    path = f"{NODE_MODULES / '.bin'}{os.pathsep}{TOOLS['PATH']}"
    ran = subprocess.run(
        ["sh", "-ec", here], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {"hey_api", "openapi_typescript.ts", "runcast_client"} <= {made.name for made in tmp_path.iterdir()}
    assert "createSession" in (tmp_path / "hey_api" / "sdk.gen.ts").read_text()
    assert list((tmp_path / "runcast_client").rglob("create_session.py"))


def test_it_names_every_operation() -> None:
    paths = json.loads((page.ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    names = {
        operation["operationId"] for path in paths.values() for operation in path.values() if "operationId" in operation
    }
    (told,) = re.findall(r"in\s+Python\): (.*?)\.\n\n", page.TEXT, re.DOTALL)

    assert set(re.findall(r"`(\w+)`", told)) == names
