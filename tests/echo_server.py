"""A WebSocket that says what it is told, on the server that Runcast runs on, for suites that expect one."""

import socket
from typing import Any

import uvicorn

from app.server.serving import config_of


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echo every message."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})


def main() -> None:
    """Listen on a free port, say which, and serve until a signal comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201
        config = config_of(app, max_message_bytes=16 * 1024 * 1024, refused=lambda _: None)
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
