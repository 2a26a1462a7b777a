"""What is generated, and the programs over it, under the strictest rules that the generators keep."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FORGOTTEN = {
    "hey_api.ts": r'    case "custom":\n.*\n',
    "openapi_fetch.ts": r'    case "custom":\n.*\n',
    "python_client.py": r"        case m\.Custom\(\):\n.*\n",
}
"""Of each program, the lines without which it forgets a type of event."""

ERROR = re.compile(r"^(\S+?)[:(].*\b(error\b.*)$", re.MULTILINE)


@pytest.fixture(scope="module", name="forgetful")
def _forgetful(sdk: Path) -> set[str]:
    """Beside each program, one that forgets a type."""
    for name, lines in FORGOTTEN.items():
        program = sdk / "examples" / name
        text, count = re.subn(lines, "", program.read_text())
        assert count == 1
        program.with_name(f"forgetful_{name}").write_text(text)
    return {f"examples/forgetful_{name}" for name in FORGOTTEN}


def checked(sdk: Path, *command: str | Path) -> dict[str, list[str]]:
    """The type errors, by file."""
    done = subprocess.run(command, cwd=sdk, capture_output=True, text=True, check=False, timeout=100)
    found: dict[str, list[str]] = {}
    for file, error in ERROR.findall(done.stdout):
        found.setdefault(file, []).append(error)
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found


def test_typescript_compiles_unless_a_type_of_event_is_forgotten(sdk: Path, forgetful: set[str]) -> None:
    errors = checked(sdk, "node_modules/.bin/tsc", "--pretty", "false", "-p", ".")

    assert set(errors) == {name for name in forgetful if name.endswith(".ts")}
    for (error,) in errors.values():
        assert re.search(r'"custom".* does not satisfy the expected type .never.', error)


def test_only_the_code_that_hey_api_generates_is_too_lax_for_exact_optional_properties(
    sdk: Path, forgetful: set[str]
) -> None:
    errors = checked(sdk, "node_modules/.bin/tsc", "--pretty", "false", "-p", ".", "--exactOptionalPropertyTypes")

    lax = {file for file in errors if file.startswith("generated/hey_api/")}
    assert lax
    assert set(errors) - lax == {name for name in forgetful if name.endswith(".ts")}


def test_python_passes_strict_mypy_unless_a_type_of_event_is_forgotten(
    sdk: Path, forgetful: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MYPYPATH", "generated")
    options = ("--strict", "--config-file=", f"--cache-dir={tmp_path}", "--no-error-summary")
    (forgets,) = (name for name in forgetful if name.endswith(".py"))

    errors = checked(sdk, sys.executable, "-m", "mypy", *options, "examples/python_client.py", forgets)

    assert set(errors) == {forgets}
    (error,) = errors[forgets]
    assert 'has incompatible type "Custom"; expected "Never"' in error
