"""One server as Runcast sees it: its address, connections to it, and whether it is fit to keep logs.

redis-py brings the connection (addresses, TLS, authentication, the wire format). Its retries are off: a command that
is sent again by somebody who does not know what it means may be carried out twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from hiredis import pack_command
from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoPermissionError, RedisError

from app.errors import ConfigurationError
from app.runlog.redis.scripts import ALL

log = structlog.get_logger()

Argument = bytes | str | int
Command = tuple[Argument, ...]

_OLDEST_REDIS: Final = 7
_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss"}


class Wire:
    """One connection. Commands go out many at once, answers come back one by one, in the same order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, commands: Sequence[Command]) -> None:
        """Send commands without waiting for their answers.

        Raises:
            RedisError: the connection is lost.
        """
        # redis-py's own packing, in Python, would be half of what an append costs.
        packed = b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]
        try:
            await self._connection.send_packed_command(packed, check_health=False)
        except RuntimeError as error:  # what uvloop calls a connection that is closed
            raise LostConnection(str(error)) from error

    async def receive(self) -> Any:
        """The next answer, however long it takes. An answer that is an error is returned, not raised.

        Raises:
            RedisError: the connection is lost, or the server is loading its data.
        """
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except RedisError as error:
            if isinstance(error, LostConnection):
                raise
            return error

    async def ask(self, *command: Argument) -> Any:
        """Send one command and wait for its answer.

        Raises:
            RedisError: the answer is an error, or as `receive`.
        """
        await self.send([command])
        answer = await self.receive()
        if isinstance(answer, RedisError):
            raise answer
        return answer

    async def close(self) -> None:
        """Close it, at once."""
        await self._connection.disconnect(nowait=True)


class Server:
    """A server's address.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`, as redis-py reads them.

    Attributes:
        name: the address without a name and a password, for people to read.
        place: the same however the address was written.

    Raises:
        ConfigurationError: the URL can't be understood.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url.strip())
            known = parts._replace(scheme=_SCHEMES.get(parts.scheme, parts.scheme))
            host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
            self.name = parts._replace(netloc=host, query="").geturl()
            self._pool = ConnectionPool.from_url(
                known.geturl(),
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                client_name="runcast",
                driver_info=None,  # it would look the version of the package up in files, at every connection
                socket_timeout=None,
                socket_connect_timeout=None,
                decode_responses=False,
            )
            known_as = {"host": "localhost", "port": 6379, "db": 0} | self._pool.connection_kwargs
            self.place = f"{known_as.get('path') or '{host}:{port}'.format_map(known_as)}/{known_as['db']}".lower()
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"no address of a Redis or Valkey server: {error}") from None

    async def connect(self) -> Wire:
        """Connect, and make sure that the scripts are there. How long that may take is the caller's to say.

        Raises:
            RedisError, OSError: it can't be reached, or does not let us in.
        """
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        wire = Wire(connection)
        try:
            await connection.connect()
            for script in ALL:
                await wire.ask("SCRIPT", "LOAD", script.source)
        except BaseException:
            await wire.close()
            raise
        return wire

    async def inspect(self) -> None:
        """See whether this server can keep logs; say what is risky about it.

        Raises:
            ConfigurationError: it can't; the message says what to change.
        """
        try:
            wire = await self.connect()
            try:
                info = _parse(await wire.ask("INFO"))
            except NoPermissionError:
                log.warning("redis.not_inspected", server=self.name, meaning="its user may not ask for INFO")
                return
            finally:
                await wire.close()
        except (RedisError, OSError) as error:
            raise ConfigurationError(f"the server {self.name} can't be used: {error}") from error
        self.judge(info)

    def judge(self, info: dict[str, str]) -> None:
        """As `inspect`, by what the server says of itself."""
        version = info.get("redis_version", "0")
        known_as = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
        if "valkey_version" not in info and int(version.split(".")[0]) < _OLDEST_REDIS:
            raise ConfigurationError(f"{self.name} is {known_as}; Redis 7 or newer, or any Valkey, is needed")
        if info.get("cluster_enabled") == "1":
            raise ConfigurationError(
                f"{self.name} is a node of a cluster; name several servers that are none, and runs are spread over them"
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ConfigurationError(
                f"{self.name} would throw logs away when its memory is full (maxmemory-policy {policy}):"
                " set maxmemory-policy noeviction"
            )
        log.info("redis.inspected", server=self.name, version=known_as)
        if info.get("aof_enabled") == "0":
            log.warning(
                "redis.not_persistent",
                server=self.name,
                meaning="if that server stops, events that were shown are lost, and runs in progress with them",
                remedy="appendonly yes",
            )


def _parse(info: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}
