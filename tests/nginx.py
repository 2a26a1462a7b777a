"""Debian's nginx with a configuration from a page, whose addresses and paths are those of a test."""

import getpass
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.gateway import Gateway

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
AROUND = """
user {user}; daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes {processes}; events {{}}
http {{
client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{page}
}}
"""


def put(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def address_of(gateway: Gateway) -> str:
    return httpx.URL(gateway.url).netloc.decode()


class Nginx:
    """Runcast as it is seen through nginx.

    Args:
        page: the configuration, whose servers are there already.
        path: where Runcast is.
    """

    def __init__(self, page: str, folder: Path, path: str, *, processes: int = 1) -> None:
        if PROGRAM is None:
            pytest.skip("nginx is not installed: apt-get install nginx-light")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.origin = f"http://127.0.0.1:{port}"
        self.url = f"{self.origin}{path}"
        self.ws_url = self.url.replace("http", "ws", 1)
        self.access_log = folder / "access.log"
        self.error_log = folder / "runcast-error.log"
        page = put(page, "listen 80;", f"listen 127.0.0.1:{port};")
        page = put(page, "/var/log/nginx/runcast.log", str(self.access_log))
        page = put(page, "/var/log/nginx/runcast-error.log", str(self.error_log))
        self._folder = folder
        conf = AROUND.format(user=getpass.getuser(), folder=folder, page=page, processes=processes)
        (folder / "nginx.conf").write_text(conf)

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        command = [PROGRAM, "-e", str(self._folder / "error.log"), "-c", str(self._folder / "nginx.conf")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=5, verify=False)) as http:
                assert http.get(f"{self.url}/profiles").status_code == 401
        except BaseException as error:
            self.__exit__()
            error.add_note((self._folder / "error.log").read_text())
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)

    def client(self, **options: object) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=20, verify=False, **options)  # type: ignore[arg-type]
