"""The generated clients, and the programs of openapi/sdk/examples ready to be run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.callers import guarded
from tests.sdks.page import ROOT

__all__ = ["guarded"]

SDK = ROOT / "openapi" / "sdk"
NODE_MODULES = SDK / "node_modules"
TOOLS = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("node") and (NODE_MODULES / "installed").exists():
        return
    for item in items:
        if Path(__file__).parent in item.path.parents and "sdk" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="the clients' generators are not installed: run make node"))


@pytest.fixture(scope="session")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of openapi/sdk, with what its script generates."""
    copy = tmp_path_factory.mktemp("openapi") / "sdk"
    shutil.copytree(SDK, copy, ignore=shutil.ignore_patterns("node_modules", "generated"))
    shutil.copy(ROOT / "openapi" / "openapi.json", copy.parent)
    (copy / "node_modules").symlink_to(NODE_MODULES.resolve())
    done = subprocess.run([copy / "generate"], env=os.environ | TOOLS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy
