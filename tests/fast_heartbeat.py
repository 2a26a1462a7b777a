"""The `runcast` command with a heartbeat that a test can wait for."""

from app.__main__ import main
from app.transports import sse

sse.HEARTBEAT = 0.2  # type: ignore[misc]

if __name__ == "__main__":
    main(prog_name="runcast")
