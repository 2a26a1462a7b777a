"""deploy/: building and starting it takes a container engine; what it says of this project is looked up."""

import re
import shlex
import tomllib
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from app.runlog.redis.log import RedisLog
from app.settings import Settings
from tests.documents.pages import ROOT, blocks
from tests.runlog.servers import VALKEY, start_server

__all__ = ["start_server"]

GIVEN = {
    "RUNCAST_SECRET": "a secret of all the processes of a gateway",
    "RUNCAST_API_KEYS": f"ada:{'0' * 64}",
    "POSTGRES_PASSWORD": "password",
}
OTHERS = 10
"""Connections of PostgreSQL that are left for people and for `runcast migrate`."""
MAX_CONNECTIONS = 100
"""What PostgreSQL has, unless it is told otherwise."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    composed = yaml.safe_load(re.sub(r"\$\{(\w+):\?\}", lambda found: GIVEN[found[1]], text))
    assert set(composed["volumes"]) == {
        volume.split(":")[0]
        for service in composed["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    return dict(composed["services"])


def gateways(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name.startswith("gateway-")}


def test_gateways_are_set_up_alike_for_the_servers_beside_them(services: dict[str, Any]) -> None:
    one, *others = (service["environment"] for service in gateways(services).values())
    settings = Settings.from_environment({name: value for name, value in one.items() if name.startswith("RUNCAST_")})

    assert all(other == one for other in others)
    assert services["migrate"]["environment"] == one
    assert settings.database_url == "postgresql://runcast:password@postgres/runcast"
    assert settings.redis_url == "redis://valkey:6379/0"
    assert {"postgres", "valkey"} <= services.keys()
    processes = settings.workers * len(gateways(services))
    assert processes * settings.database_pool + OTHERS <= MAX_CONNECTIONS


def test_nginx_knows_every_gateway_and_its_health_is_asked_for_where_it_is(services: dict[str, Any]) -> None:
    configuration = services["nginx"]["volumes"][0].split(":")[0]
    named = re.findall(r"^ +server ([\w-]+):(\d+) ", (ROOT / "deploy" / configuration).read_text("utf-8"), re.MULTILINE)
    assert dict(named) == dict.fromkeys(gateways(services), str(Settings().port))
    for service in gateways(services).values():
        path = f"{service['environment']['RUNCAST_BASE_PATH']}/health/ready"
        assert f"127.0.0.1:{Settings().port}{path}'" in service["healthcheck"]["test"][-1]


def test_gateways_have_the_time_to_drain(services: dict[str, Any]) -> None:
    for service in gateways(services).values():
        assert int(service["stop_grace_period"].removesuffix("s")) >= Settings().drain_timeout + 15 + 2


def test_who_depends_waits_for_what_there_is(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            else:
                assert condition["condition"] == "service_completed_successfully"
                assert "restart" not in services[name]


@pytest.mark.anyio
async def test_the_options_of_valkey_are_the_pages_and_fit_for_logs(
    services: dict[str, Any], start_server: Any
) -> None:
    program, *options = services["valkey"]["command"]
    (page,) = (block.text for block in blocks("docs/how-to/scale-out.md") if block.language == "conf")
    wanted = dict(line.split(" ", 1) for line in page.splitlines() if not line.startswith("user "))
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert program == "valkey-server"
    assert {f"--{name}": value.strip('"') for name, value in wanted.items()} == given
    with capture_logs() as said:
        log = await RedisLog.open(start_server(VALKEY, *options).url)  # which refuses a server that can't keep logs
        await log.close()

    assert [line for line in said if line["log_level"] != "info"] == []


def test_the_image_installs_what_is_there_and_starts_what_there_is(services: dict[str, Any]) -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    steps = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (run,) = (shlex.split(words) for step, words in steps if step == "RUN")
    (image,) = (words for step, words in steps if step == "FROM")
    (environment,) = (words for step, words in steps if step == "ENV")
    (command,) = (yaml.safe_load(words) for step, words in steps if step == "CMD")
    settings = Settings.from_environment(dict(each.split("=") for each in environment.split()))

    assert (
        f"Programming Language :: Python :: {image.removeprefix('python:').removesuffix('-slim')}"
        in project["classifiers"]
    )
    copied = {source for step, words in steps if step == "COPY" for source in words.split()[:-1]}
    assert all((ROOT / source).exists() for source in copied)
    assert {"app", "pyproject.toml", run[run.index("-c") + 1]} <= copied
    assert re.fullmatch(r"\.\[(\w+)\]", run[run.index("-c") + 2])[1] in project["optional-dependencies"]  # type: ignore[index]
    assert command[0] in project["scripts"]
    for service in (*gateways(services).values(), services["migrate"]):
        assert (ROOT / "deploy" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert f"files:{settings.data_dir}" in service.get("volumes", [f"files:{settings.data_dir}"])
