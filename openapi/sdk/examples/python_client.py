"""Runcast through the client that openapi-python-client generates.

Its operation of a stream reads no stream: httpx-sse does, and this program resumes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

import httpx
from httpx_sse import connect_sse
from runcast_client import AuthenticatedClient
from runcast_client import models as m
from runcast_client.api.runs import follow_run, get_run, read_log, start_run
from runcast_client.api.sessions import create_session

T = TypeVar("T")
Event = (
    m.StreamStart | m.ThinkingDelta | m.ThinkingEnd | m.StreamDelta | m.ToolStarted | m.ToolCall | m.TurnThinking
    | m.ContextCompressed | m.ApprovalRequested | m.ApprovalResolved | m.Custom | m.StreamEnd | m.StreamCancelled
    | m.Error | m.CaughtUp | m.RunQueued | m.Gap
)  # fmt: skip


def show(event: Event) -> None:
    """One line for each message of a log. A type that is forgotten here is a type error."""
    text = ""
    match event:
        case m.StreamStart():
            text = event.input_.content
        case m.ThinkingDelta() | m.StreamDelta():
            text = event.delta
        case m.ThinkingEnd():
            pass
        case m.ToolStarted():
            text = f"{event.tool} {json.dumps(event.args.to_dict())}"
        case m.ToolCall():
            text = f"{event.tool} {'gave' if event.success else 'failed:'} {event.result}"
        case m.TurnThinking():
            text = event.thinking
        case m.ContextCompressed():
            text = f"{event.messages_before} messages are {event.messages_after} now"
        case m.ApprovalRequested():
            text = f"may {event.tool} be called?"
        case m.ApprovalResolved():
            text = "yes" if event.approved else "no"
        case m.Custom():
            text = event.name
        case m.StreamEnd() | m.StreamCancelled():
            text = event.content
        case m.Error():
            text = f"{event.code}: {event.message}"
        case m.Gap():
            text = f"what came before {event.earliest} is gone"
        case m.CaughtUp() | m.RunQueued():
            return  # about the connection
        case _ if TYPE_CHECKING:
            assert_never(event)
    print(getattr(event, "id", "-"), event.type_, json.dumps(text), flush=True)


def typed(message: Any) -> Event | None:
    """The event that a message is; None if its type is newer than this client."""
    try:
        return m.LogPage.from_dict({"events": [message], "next": "", "done": False}).events[0]
    except ValueError:
        return None


def accepted(answer: T | m.Problem | None) -> T:
    """What was answered, unless it was a refusal."""
    if answer is None or isinstance(answer, m.Problem):
        sys.exit(f"refused: {answer}")
    return answer


def events(client: AuthenticatedClient, session_id: str, run_id: str) -> Iterator[Event]:
    """The events of a run, however often the connection breaks."""
    last, pause = "0", 1.0
    while True:
        request = follow_run._get_kwargs(session_id, run_id, last_event_id=last)
        try:
            with connect_sse(client.get_httpx_client(), **request) as stream:
                if stream.response.status_code == httpx.codes.NO_CONTENT:
                    return  # nothing follows the last one
                stream.response.raise_for_status()
                for message in stream.iter_sse():
                    last = message.id or last
                    if message.retry:
                        pause = message.retry / 1000
                    if message.data and (event := typed(json.loads(message.data))):
                        yield event
                return  # a stream that ends cleanly is complete
        except httpx.HTTPStatusError as refusal:
            if refusal.response.status_code not in (429, 503):
                raise
        except httpx.TransportError:
            pass
        time.sleep(pause)


def follow(client: AuthenticatedClient, session_id: str, run_id: str) -> None:
    for event in events(client, session_id, run_id):
        show(event)


def poll(client: AuthenticatedClient, session_id: str, run_id: str) -> None:
    after, done = "0", False
    while not done:
        page = accepted(read_log.sync(session_id, run_id, client=client, after=after, wait=20))
        for event in page.events:
            show(event)
        after, done = page.next_, page.done


def main(base_url: str = "http://localhost:8000", content: str = "Hello") -> None:
    token = os.environ.get("RUNCAST_TOKEN", "none")
    patience = httpx.Timeout(10, read=45)  # a stream is never silent for longer than 15 seconds
    client = AuthenticatedClient(base_url=base_url, token=token, timeout=patience)
    session = accepted(create_session.sync(client=client))
    for how, read in {"followed": follow, "polled": poll}.items():
        run = accepted(start_run.sync(session.id, client=client, body=m.StartRun(content=content)))
        print(how, session.id, run.id, flush=True)
        read(client, session.id, run.id)

    problem = get_run.sync(session.id, "nobody's", client=client)
    if isinstance(problem, m.Problem):
        print("refused", problem.status, problem.code)


if __name__ == "__main__":
    main(*sys.argv[1:])
