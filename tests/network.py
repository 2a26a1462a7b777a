"""A network of a test's own: the test and every process that it starts are alone in it, and its packets can be lost."""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def port_of(gateway: Gateway) -> int:
    return int(gateway.url.rpartition(":")[2])


def peers(gateway: Gateway) -> set[int]:
    """The ports of those who are connected to the server."""
    table = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    rows = [line.split()[1:4] for line in table]
    own = f":{port_of(gateway):04X}"
    return {int(peer.rpartition(":")[2], 16) for local, peer, state in rows if local.endswith(own) and state == "01"}


class Network:
    """The loopback interface of a network namespace."""

    def lose_all(self, *ports: int) -> None:
        """Lose every packet from and to these ports, as when a cable is pulled: nobody is told."""
        for port in ports:
            for side in ("--sport", "--dport"):
                self._rule("-p", "tcp", side, str(port))

    def lose(self, share: float, port: int) -> None:
        """Lose this share of the packets that come from a port."""
        chance = ("-m", "statistic", "--mode", "random", "--probability", str(share))
        self._rule("-p", "tcp", "--sport", str(port), *chance)

    def mend(self) -> None:
        subprocess.run(["iptables", "--flush", "INPUT"], check=True)

    def _rule(self, *packets: str) -> None:
        subprocess.run(["iptables", "--append", "INPUT", *packets, "--jump", "DROP"], check=True)


@pytest.fixture
def network() -> Iterator[Network]:
    """Puts this thread, and whatever it starts, into a new network namespace for as long as the test takes."""
    if missing := [tool for tool in ("ip", "iptables") if shutil.which(tool) is None]:
        pytest.skip(f"no network can be made here: {' and '.join(missing)} missing")
    with contextlib.ExitStack() as stack:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        stack.callback(os.close, before)
        if _LIBC.unshare(_CLONE_NEWNET):
            pytest.skip(f"no network can be made here: {os.strerror(ctypes.get_errno())}")
        stack.callback(_LIBC.setns, before, _CLONE_NEWNET)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield Network()
