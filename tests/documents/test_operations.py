"""The pages for operators: what can be run here is run, the rest is held against what it is for."""

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import httpx
import pytest
import yaml

from app.settings import Settings
from tests.documents.pages import ROOT, Block
from tests.documents.pages import blocks as blocks_of
from tests.gateway import LISTENING, Gateway, Launch, environment
from tests.tracing.collector import collecting

SYSTEMD, MONITORING = "docs/how-to/systemd.md", "docs/how-to/monitoring.md"
TOKEN = "a-token-for-metrics-as-long-as-it-has-to-be"


def unit() -> ConfigParser:
    (block,) = (block for block in blocks_of(SYSTEMD) if block.language == "ini")
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(block.text)
    return parser


@pytest.mark.executes(SYSTEMD, "ini")
def test_the_unit_waits_for_a_drain_and_has_files_for_every_viewer() -> None:
    service = unit()["Service"]
    data_dir, log_format = (each.split("=") for each in service["Environment"].split())

    assert service.getint("TimeoutStopSec") >= Settings().drain_timeout + 15 + 2
    assert service.getint("LimitNOFILE") > Settings().max_viewers + 1024
    assert Settings.from_environment(dict([data_dir, log_format])).log_format == "json"
    assert data_dir == ["RUNCAST_DATA_DIR", f"/var/lib/{service['StateDirectory']}"]


@pytest.mark.executes(SYSTEMD, "sh", section="under-systemd")
def test_the_program_is_installed_where_the_unit_starts_it(blocks: list[Block]) -> None:
    clone, enter, venv, install, made = (shlex.split(line) for line in blocks[0].text.splitlines())
    folder = clone[-1]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    program, command = unit()["Service"]["ExecStart"].split()

    assert enter == ["cd", folder]
    assert program in {f"{folder}/{venv[-1]}/bin/{script}" for script in scripts}
    subprocess.run([sys.executable, "-m", "app", command, "--help"], capture_output=True, check=True)
    assert install[0] == f"{venv[-1]}/bin/pip"
    assert (ROOT / install[install.index("-c") + 1]).is_file()
    assert made[-1] == unit()["Service"]["WorkingDirectory"]


@pytest.mark.executes(SYSTEMD, "sh", section="upgrades")
def test_an_upgrade_installs_like_the_first_time(blocks: list[Block]) -> None:
    first = next(block for block in blocks_of(SYSTEMD) if block.section == "under-systemd").text.splitlines()
    stop, upgrade, start = blocks[0].text.splitlines()

    assert upgrade == f"{first[1]} && git pull && {first[3]}"
    assert [stop, start] == [f"systemctl {verb} {unit()['Service']['StateDirectory']}" for verb in ("stop", "start")]


@pytest.mark.slow
@pytest.mark.executes(SYSTEMD, "sh", section="backups")
@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is not installed: apt-get install sqlite3")
def test_a_backup_of_a_running_server_is_served_by_another_one(
    launch: Launch, tmp_path: Path, blocks: list[Block]
) -> None:
    gateway = launch()
    session, run = _a_run_with_a_file(gateway)
    (gateway.data_dir / "ticket-secret").touch()
    backup = tmp_path / "data"
    backup.mkdir()
    commands = blocks[0].text.replace("/var/lib/runcast", str(gateway.data_dir)).replace("/backup", str(backup))
    subprocess.run(["sh", "-e", "-c", commands], check=True)
    other = Gateway(tmp_path).start()
    try:
        logs = [_log(each, session, run) for each in (gateway, other)]
        path = Path(httpx.get(f"{other.url}/sessions/{session}/messages").json()["items"][0]["files"][0]["id"])
    finally:
        other.close()

    assert logs[0] == logs[1]
    assert [each for each in (backup / "files").rglob("*") if path.name in each.name]


def _a_run_with_a_file(gateway: Gateway) -> tuple[str, str]:
    with httpx.Client(base_url=gateway.url, timeout=20) as http:
        session = http.post("/sessions").json()["id"]
        file = http.post(f"/sessions/{session}/files", files={"file": ("a.txt", b"a file")}).json()["id"]
        body = {"content": "/quiet /length 3 /rate 0", "files": [file]}
        run = http.post(f"/sessions/{session}/runs", json=body).json()["id"]
    _log(gateway, session, run)
    return session, run


def _log(gateway: Gateway, session: str, run: str) -> object:
    events: list[object] = []
    page = {"next": "0", "done": False}
    while not page["done"]:
        query = {"after": page["next"], "wait": 20, "limit": 20}
        page = httpx.get(f"{gateway.url}/sessions/{session}/runs/{run}/log", params=query, timeout=30).json()
        events += page["events"]
    return events


@pytest.mark.executes(MONITORING, "yaml", section="numbers")
def test_prometheus_scrapes_the_default_port_and_shows_a_token_that_it_reads(blocks: list[Block]) -> None:
    scrape, token = blocks
    lines = scrape.text.splitlines()
    (job,) = yaml.safe_load("\n".join([*lines, *token.text.splitlines()]))["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]

    assert target == f"{Settings().host}:{Settings().port}"
    assert list(job["authorization"]) == ["credentials_file"]


@pytest.mark.executes(MONITORING, "yaml", section="alerts")
def test_alerts_are_rules_with_names_of_their_own(blocks: list[Block]) -> None:
    (group,) = yaml.safe_load(blocks[0].text)["groups"]
    names = [rule["alert"] for rule in group["rules"]]

    assert len(set(names)) == len(names)
    assert [rule for rule in group["rules"] if not set(rule) <= {"alert", "expr", "for"}] == []
    assert [rule["expr"] for rule in group["rules"] if rule["expr"].count("(") != rule["expr"].count(")")] == []


@pytest.mark.executes(MONITORING, "sh", section="runs-as-they-are")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_everybodys_runs_are_shown_to_the_token(launch: Launch, blocks: list[Block]) -> None:
    gateway = launch(metrics_token=TOKEN)
    session = httpx.post(f"{gateway.url}/sessions").json()["id"]
    run = httpx.post(f"{gateway.url}/sessions/{session}/runs", json={"content": "/quiet /length 5000"}).json()["id"]
    command = blocks[0].text.replace("localhost:8000", httpx.URL(gateway.url).netloc.decode())
    shown = subprocess.run(
        ["sh", "-c", command], env={"RUNCAST_METRICS_TOKEN": TOKEN}, capture_output=True, check=True
    ).stdout
    httpx.post(f"{gateway.url}/sessions/{session}/runs/{run}/cancel")

    assert [each["id"] for each in json.loads(shown)["items"]] == [run]


@pytest.mark.executes(MONITORING, "console", section="traces")
def test_spans_go_where_the_variables_say(tmp_path: Path, blocks: list[Block]) -> None:
    *variables, make, target, extra = shlex.split(blocks[0].text.removeprefix("$ "))
    given = dict(each.split("=", 1) for each in variables)
    assert (make, target) == ("make", "run")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extra.removeprefix("EXTRA=") in extras
    with collecting() as collector:
        given["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        own = environment(data_dir=str(tmp_path), drain_timeout="0") | {"OTEL_BSP_SCHEDULE_DELAY": "100"}
        command = [sys.executable, "-m", "app", "serve", "--port", "0"]
        with subprocess.Popen(
            command, env=own | given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            assert server.stdout is not None
            found = LISTENING.search(server.stdout.readline())
            assert found
            session = httpx.post(f"{found[1]}/sessions").json()["id"]
            httpx.post(f"{found[1]}/sessions/{session}/runs", json={"content": "/quiet /length 3 /rate 0"})
            spans = collector.wait(1)
            server.terminate()

    assert {span.resource["service.name"] for span in spans} == {given["OTEL_SERVICE_NAME"]}
