"""A client of Runcast for Python programs: follows sessions and runs, and commands them (protocol, version 1, native).

    from app.client import connect, create_session, messages

    async with connect(url, await create_session(url)) as session:
        await session.send("Hello")
        async for message in session:
            match message:
                case messages.StreamDelta(delta=text):
                    print(text, end="")
                case messages.StreamEnd():
                    break

Every message arrives once and in order, however often the connection breaks. Needs asyncio, and nothing of the server.
"""

from app.client.errors import Refused, Unreachable
from app.client.http import Shown
from app.client.lost import Lost
from app.client.reading import Message, UnknownMessage, is_terminal
from app.client.session import Session, connect, create_session, follow
from app.client.streams import Transport
from app.dialects import messages

__all__ = [
    "Lost",
    "Message",
    "Refused",
    "Session",
    "Shown",
    "Transport",
    "UnknownMessage",
    "Unreachable",
    "connect",
    "create_session",
    "follow",
    "is_terminal",
    "messages",
]
