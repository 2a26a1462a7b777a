"""The `runcast` command with tickets that are good for a second, and said to be good for as long as usual."""

import app.transports.tickets  # noqa: F401 - knows the usual time by now
from app.__main__ import main
from app.transports.auth import tickets

tickets.LIFETIME = 1  # type: ignore[misc]

if __name__ == "__main__":
    main(prog_name="runcast")
