"""What is found out about a file before it is used."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.errors import ConfigurationError
from app.inspection import inspect

ROWS = 200


def crashed(folder: Path, *, restarts: int = 0, rows: int = ROWS) -> Path:
    """A file as a killed process leaves it: `rows` commits in its write-ahead log, begun anew so often."""
    path = folder / "living.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE t (n INTEGER, filler TEXT)")
        for _ in range(restarts):
            for number in range(ROWS):
                connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 500))
            connection.execute("PRAGMA wal_checkpoint(RESTART)")
        for number in range(rows):
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 500))
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", folder / f"left.db{suffix}")
    return folder / "left.db"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def warnings(path: Path) -> int:
    with capture_logs() as said:
        inspect(path)
    return sum(line["event"] == "storage.commits_lost" for line in said)


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Path]:
    return crashed(tmp_path)


def test_a_file_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    assert warnings(tmp_path / "none.db") == 0
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("restarts", [0, 1, 2])
@pytest.mark.parametrize("rows", [0, 1, ROWS // 2, ROWS])
def test_what_a_crash_leaves_is_no_damage_whatever_stands_in_the_log_from_before(
    tmp_path: Path, restarts: int, rows: int
) -> None:
    path = crashed(tmp_path, restarts=restarts, rows=rows)

    assert warnings(path) == 0
    assert count(path) == restarts * ROWS + rows


def test_a_commit_that_was_not_written_out_is_no_damage(left: Path) -> None:
    wal = Path(f"{left}-wal")
    wal.write_bytes(wal.read_bytes()[:-2000])

    assert warnings(left) == 0


@pytest.mark.parametrize("part", [0, 1, 10, 25, 31, "a salt", "a page", "a page number", "a checksum"])
def test_a_bit_that_flipped_in_the_log_is_told(left: Path, part: int | str) -> None:
    frame = 32 + 100 * (24 + 4096)
    offsets = {"a page number": frame + 3, "a salt": frame + 8, "a checksum": frame + 16, "a page": frame + 3000}
    flip(Path(f"{left}-wal"), part if isinstance(part, int) else offsets[str(part)])

    assert warnings(left) == 1


def test_a_log_that_is_too_short_to_say_anything_is_told(left: Path) -> None:
    Path(f"{left}-wal").write_bytes(b"\x37\x7f")

    assert warnings(left) == 1


def test_a_damaged_page_is_refused_by_the_name_of_its_file(left: Path) -> None:
    inspect(left)
    data = bytearray(left.read_bytes())
    data[4096:4160] = b"\xff" * 64
    left.write_bytes(data)

    with pytest.raises(ConfigurationError, match=r"left\.db can't be used: .*restore it"):
        inspect(left)
