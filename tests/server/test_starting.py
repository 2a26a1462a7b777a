"""A process that can't start as configured says why in one line."""

import resource
from pathlib import Path

import pytest

from tests.gateway import Gateway, Launch, refusal

pytestmark = pytest.mark.anyio


async def test_a_second_process_on_a_data_directory_is_refused_and_harms_nobody(gateway: Gateway) -> None:
    said = await refusal("--port", "0", data_dir=str(gateway.data_dir))

    assert str(gateway.pid) in said
    assert "in use" in said
    async with gateway.client() as http:
        assert (await http.post("/sessions")).status_code == 201


async def test_a_port_that_is_taken_is_refused(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    port = gateway.url.rpartition(":")[2]
    said = await refusal("--port", port, data_dir=str(tmp_path_factory.mktemp("other")))

    assert f"127.0.0.1:{port}" in said
    assert "in use" in said


async def test_a_folder_of_files_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("not a folder")
    said = await refusal("--port", "0", data_dir=str(tmp_path))

    assert f"the files in {tmp_path}" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_address_that_others_reach_needs_a_word_of_consent(
    host: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = await refusal("--port", "0", data_dir=str(tmp_path_factory.mktemp("data")), host=host)

    assert "RUNCAST_ALLOW_ANONYMOUS" in said


async def test_with_consent_it_listens_everywhere(launch: Launch) -> None:
    gateway = launch(host="0.0.0.0", allow_anonymous="true")
    gateway.url = gateway.url.replace("0.0.0.0", "127.0.0.1")
    async with gateway.client() as http:
        assert (await http.get("/health/ready")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"agent": "nowhere:agent"}, "nowhere"),
        ({"send_timeout": "soon"}, "RUNCAST_SEND_TIMEOUT"),
        ({"no_such_thing": "1"}, "RUNCAST_NO_SUCH_THING"),
        ({"data_dir": "/proc/nowhere"}, "/proc/nowhere"),
        ({"host": "no.such.host.invalid"}, "no.such.host.invalid"),
        ({"auth": "keys"}, "RUNCAST_API_KEYS"),
        ({"auth": "keys", "api_keys": "ada:rc_what-is-no-digest"}, "RUNCAST_API_KEYS"),
        ({"auth": "keys", "api_keys_file": "/nowhere/keys"}, "/nowhere/keys"),
        ({"auth": "jwt"}, "RUNCAST_JWT_SECRET"),
        ({"auth": "jwt", "jwt_secret": "guessable"}, "RUNCAST_JWT_SECRET"),
        ({"auth": "jwt", "jwt_keys_file": "/dev/null"}, "/dev/null"),
    ],
    ids=[
        "agent",
        "number",
        "unknown",
        "directory",
        "host",
        "no key",
        "no digest",
        "no file",
        "no secret",
        "weak secret",
        "no public key",
    ],
)
async def test_a_wrong_setting_is_named(
    settings: dict[str, str], named: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = await refusal("--port", "0", **({"data_dir": str(tmp_path_factory.mktemp("data"))} | settings))

    assert named in said


async def test_a_server_takes_as_many_file_descriptors_as_it_may(launch: Launch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        gateway = launch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE) == (hard, hard)
