"""The npm package `app/web/client`: what is served is what was built, small, and as its types say."""

import gzip
import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.gateway import Gateway, gateway

__all__ = ["gateway"]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "app/web/client"
NODE_PACKAGES = ROOT / "openapi/sdk/node_modules"
LARGEST = {"client.js": 3072, "shared.js": 2304, "event_source.js": 512}
"""Bytes after gzip -9."""

needs_node_packages = pytest.mark.skipif(
    not (NODE_PACKAGES / "installed").exists(), reason="the node packages are missing: run make node"
)


def node(*arguments: str | Path, cwd: Path = ROOT) -> None:
    """Run Node; whatever it says when it fails is the failure."""
    command = [str(shutil.which("node")), *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=cwd)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_node_packages
def test_what_is_committed_is_what_the_sources_build(tmp_path: Path) -> None:
    node(PACKAGE / "build.mjs", tmp_path)
    for name in LARGEST:
        assert (PACKAGE / name).read_text() == (tmp_path / name).read_text(), "run make client"


@pytest.mark.anyio
async def test_what_is_served_is_small(gateway: Gateway) -> None:
    async with gateway.client() as http:
        served = {name: (await http.get(f"/{name}")).content for name in LARGEST}
    assert served == {name: (PACKAGE / name).read_bytes() for name in LARGEST}
    sizes = {name: len(gzip.compress(body, 9, mtime=0)) for name, body in served.items()}
    assert [name for name, size in sizes.items() if size > LARGEST[name]] == [], sizes


@pytest.mark.anyio
async def test_the_types_are_served_beside_the_module(gateway: Gateway) -> None:
    async with gateway.client() as http:
        served = await http.get("/client.d.ts")
    assert served.content == (PACKAGE / "client.d.ts").read_bytes()
    assert served.headers["content-type"] == "text/plain; charset=utf-8"


@needs_node_packages
def test_the_sources_are_well_typed() -> None:
    node(NODE_PACKAGES / "typescript/bin/tsc", "-p", PACKAGE)


@needs_node_packages
def test_the_types_are_those_of_the_contract_and_a_switch_over_messages_is_exhaustive(tmp_path: Path) -> None:
    schema = ROOT / "openapi/openapi.json"
    node(NODE_PACKAGES / "openapi-typescript/bin/cli.js", schema, "-o", tmp_path / "openapi.d.ts")
    program = (ROOT / "tests/web/types.ts").read_text().replace("../../app/web/client/", f"{PACKAGE}/")
    (tmp_path / "types.ts").write_text(program)
    options = json.loads((PACKAGE / "tsconfig.json").read_text())["compilerOptions"] | {"allowJs": True}
    config = {"compilerOptions": options, "include": ["types.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    node(NODE_PACKAGES / "typescript/bin/tsc", "-p", tmp_path)


def test_the_package_has_the_servers_version_and_licence_and_needs_no_other() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (package["version"], package["license"]) == (project["version"], project["license"])
    assert not [field for field in package if "ependencies" in field]
    assert (PACKAGE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_packs_what_a_program_imports_and_nothing_else() -> None:
    packed = subprocess.run(
        [str(shutil.which("npm")), "pack", "--dry-run", "--json", "--ignore-scripts"],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (found,) = json.loads(packed.stdout)
    names = sorted(file["path"] for file in found["files"])
    assert names == ["LICENSE", "README.md", "client.d.ts", "client.js", "event_source.js", "package.json", "shared.js"]
