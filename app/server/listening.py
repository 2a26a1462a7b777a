"""The listening socket: accepted connections inherit its options."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Final

from app.errors import ConfigurationError

_UNACKNOWLEDGED_MS: Final = 30_000
_IDLE_S, _INTERVAL_S, _PROBES = 30, 10, 3


def listen(host: str, port: int) -> socket.socket:
    """Bind, so that peers that vanish, or take nothing, are noticed by the kernel within half a minute.

    Raises:
        ConfigurationError: the address can't be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}: {error.strerror or error}") from error
    try:
        _set_up(listener)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach the address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def url_of(listener: socket.socket) -> str:
    """The address as one would open it in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _set_up(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS),
        ("TCP_KEEPIDLE", _IDLE_S),
        ("TCP_KEEPINTVL", _INTERVAL_S),
        ("TCP_KEEPCNT", _PROBES),
    ):
        if hasattr(socket, name):  # not everywhere but on Linux
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
