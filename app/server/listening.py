"""The listening socket: accepted connections inherit its options."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Final

from app.errors import ConfigurationError

_LONGER_S: Final = 6.0
"""Seconds that the kernel waits for a peer longer than the server does, whose close code needs a chance (P3.9)."""

_UNSENT_BYTES: Final = 128 * 1024
"""What the kernel keeps for a peer beyond what is on its way: without a limit megabytes for each that takes nothing."""


_LONGEST_S: Final = 60_000.0  # the kernel takes no idle time over 32,767 s


def listen(host: str, port: int, *, patience: float) -> socket.socket:
    """Bind, so that the kernel notices peers that vanish, or take nothing, whether or not there is anything to send.

    Args:
        host: the address.
        port: 0 takes a free one.
        patience: how many seconds a peer may take nothing; the kernel gives it six more.

    Raises:
        ConfigurationError: the address can't be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}: {error.strerror or error}") from error
    try:
        _set_up(listener, min(patience + _LONGER_S, _LONGEST_S))
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


def _set_up(listener: socket.socket, seconds: float) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", round(seconds * 1000)),
        ("TCP_KEEPIDLE", max(1, round(seconds / 2))),
        ("TCP_KEEPINTVL", max(1, round(seconds / 8))),
        ("TCP_KEEPCNT", 4),  # where there is no user timeout, which decides otherwise
        ("TCP_NOTSENT_LOWAT", _UNSENT_BYTES),
    ):
        if hasattr(socket, name):  # not everywhere but on Linux
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
