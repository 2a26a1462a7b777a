"""The npm package `app/web/client`: what is served is what was built, and small."""

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
BUILT = ["client.js"]
LARGEST = 3_600

needs_node_packages = pytest.mark.skipif(
    not (ROOT / "openapi/sdk/node_modules/installed").exists(), reason="the node packages are missing: run make node"
)


@needs_node_packages
def test_what_is_committed_is_what_the_sources_build(tmp_path: Path) -> None:
    subprocess.run([str(shutil.which("node")), PACKAGE / "build.mjs", tmp_path], check=True, timeout=60)
    for name in BUILT:
        assert (PACKAGE / name).read_text() == (tmp_path / name).read_text(), "run make client"


@pytest.mark.anyio
async def test_what_is_served_is_small(gateway: Gateway) -> None:
    async with gateway.client() as http:
        served = (await http.get("/client.js")).content
    assert served == (PACKAGE / "client.js").read_bytes()
    assert len(gzip.compress(served, 9)) <= LARGEST


def test_the_package_has_the_servers_version_and_licence_and_needs_no_other() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (package["version"], package["license"]) == (project["version"], project["license"])
    assert not [field for field in package if "ependencies" in field]
    assert (PACKAGE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
