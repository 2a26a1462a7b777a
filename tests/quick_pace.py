"""The `runcast` command with a pace that a test can wait for."""

from app.__main__ import main
from app.server import pace

pace.EVERY_S = 0.5  # type: ignore[misc]

if __name__ == "__main__":
    main(prog_name="runcast")
