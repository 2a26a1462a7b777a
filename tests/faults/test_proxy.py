"""A reverse proxy between the server and everybody: nginx, with its own defaults wherever it lets us."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template

import httpx
import pytest

from tests import faulty
from tests.gateway import Gateway, every_event, new_session, start
from tests.watching import Item, logged, rise, story, text_of, watch

pytestmark = pytest.mark.anyio

SILENCE = 2
"""Seconds without a byte after which this nginx cuts; its own default is 60."""

CONFIGURATION = Template("""
daemon off;
pid $folder/pid;
error_log stderr;
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    map $$http_upgrade $$connection_upgrade { default upgrade; "" ""; }
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass $upstream;
            proxy_http_version 1.1;
            proxy_set_header Host $$host:$$server_port;
            proxy_set_header Upgrade $$http_upgrade;
            proxy_set_header Connection $$connection_upgrade;
            proxy_read_timeout $silence;
        }
        location /ws/ {
            proxy_pass $upstream;
            proxy_http_version 1.1;
            proxy_set_header Host $$host:$$server_port;
            proxy_set_header Upgrade $$http_upgrade;
            proxy_set_header Connection $$connection_upgrade;
        }
    }
}
""")


class Nginx:
    """The server as it is seen through the proxy."""

    def __init__(self, binary: str, folder: Path, upstream: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.ws_url = f"ws://127.0.0.1:{port}"
        self._command = [binary, "-e", "stderr", "-c", str(folder / "nginx.conf")]
        self._port = port
        text = CONFIGURATION.substitute(folder=folder, port=port, upstream=upstream, silence=f"{SILENCE}s")
        (folder / "nginx.conf").write_text(text)

    def start(self) -> "Nginx":
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        with httpx.Client(transport=httpx.HTTPTransport(retries=8, verify=False)) as http:
            http.get(f"{self.url}/health/live").raise_for_status()
        return self

    def end(self, number: int) -> None:
        self._process.send_signal(number)
        self._process.wait(10)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=20, verify=False)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    command = (str(Path(__file__).parent.parent / "fast_heartbeat.py"),)
    gateway = Gateway(tmp_path_factory.mktemp("behind"), command, agent="faulty:agent", drain_timeout="0")
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture
def nginx(gateway: Gateway, tmp_path: Path) -> Iterator[Nginx]:
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        pytest.skip("nginx is not installed")
    nginx = Nginx(binary, tmp_path, gateway.url).start()
    try:
        yield nginx
    finally:
        nginx.end(signal.SIGTERM)


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_through_a_proxy_events_come_as_they_are_said_and_silence_cuts_nobody(
    gateway: Gateway, nginx: Nginx, transport: str
) -> None:
    """Row 22: nginx in front."""
    async with nginx.client() as http:
        session = await new_session(http)
        async with watch(nginx, transport, session) as viewer:
            run = await start(http, session, f"pause {SILENCE * 1500}")
            seen = await viewer.until_type("stream_delta")
            assert (await http.get(f"/sessions/{session}/runs/{run}")).json()["status"] == "running"
            seen += await viewer.until_terminal()
    assert text_of(seen) == seen[-1].message["content"] == "before after"


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_proxy_that_dies_costs_a_viewer_nothing(gateway: Gateway, nginx: Nginx, transport: str) -> None:
    """Row 22: and is restarted."""
    async with gateway.client() as http:
        session = await new_session(http)
        run = await start(http, session, "tick 200")
        async with watch(nginx, transport, session) as viewer:
            seen = logged(await viewer.until(lambda item: item.message.get("delta", "").startswith("50")))
            nginx.end(signal.SIGKILL)
        nginx.start()
        async with watch(nginx, transport, session, seen[-1].id) as viewer:
            seen += await viewer.until_terminal()
        log = [Item.of(raw) for raw in await every_event(http, session, run)]

    assert rise(seen)
    assert story(seen) == story(log)
    assert text_of(seen) == "".join(map(faulty.NUMBER.format, range(200)))
