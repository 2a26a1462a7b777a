"""API keys, of which the server keeps digests (P6.1)."""

from hashlib import sha256
from pathlib import Path

import pytest

from app.errors import ConfigurationError, Unauthenticated
from app.transports.auth.keys import ApiKeys, mint
from tests.callers import ADA, BOB


def test_a_minted_key_tells_its_principal():
    made = mint("ada@example.org")
    assert ApiKeys([made.entry], None).principal(made.key) == "ada@example.org"


def test_the_entry_is_the_keys_sha256_and_nothing_more():
    assert ADA.entry == f"ada:{sha256(ADA.key.encode()).hexdigest()}"
    assert mint("ada").key != ADA.key
    assert len(ADA.key) == len("rc_") + 43


def test_a_principal_may_have_a_colon_and_several_keys():
    one, other = mint("urn:org:ada"), mint("urn:org:ada")
    keys = ApiKeys([one.entry, other.entry], None)
    assert keys.principal(one.key) == keys.principal(other.key) == "urn:org:ada"


@pytest.mark.parametrize(
    "shown", ["", "rc_", ADA.key[:-1], ADA.key + "A", ADA.key.upper(), ADA.entry, ADA.entry[4:]], ids=range(7)
)
def test_anything_else_is_nobodys(shown):
    with pytest.raises(Unauthenticated):
        ApiKeys([ADA.entry, BOB.entry], None).principal(shown)


def test_digests_that_begin_alike_are_told_apart():
    kept = sha256(b"key").hexdigest()
    keys = ApiKeys([f"ada:{kept[:8]}{'0' * 56}", f"bob:{kept}"], None)
    assert keys.principal("key") == "bob"


@pytest.mark.parametrize("name", ["", "two words", "x" * 256, "línea", "a\n", "\x00"])
def test_no_key_is_made_for_a_name_that_nobody_can_have(name):
    with pytest.raises(ConfigurationError):
        mint(name)


@pytest.mark.parametrize(
    "entry",
    ["", "ada", ADA.key, f"ada:{ADA.key}", ADA.entry[:-1], f":{'0' * 64}", f"{'a' * 256}:{'0' * 64}", "a:b"],
    ids=range(8),
)
def test_a_wrong_entry_is_named_by_its_place_and_not_shown(entry):
    with pytest.raises(ConfigurationError, match=r"^RUNCAST_API_KEYS: entry 2 ") as refused:
        ApiKeys([BOB.entry, entry], None)
    assert not entry or entry not in str(refused.value)


def test_a_key_has_one_principal():
    with pytest.raises(ConfigurationError, match="entry 2"):
        ApiKeys([ADA.entry, ADA.entry.replace("ada", "eve")], None)


def test_without_any_key_nobody_could_come_in(tmp_path: Path):
    (tmp_path / "keys").write_text("# nobody yet\n\n")
    with pytest.raises(ConfigurationError, match="RUNCAST_API_KEYS_FILE"):
        ApiKeys([], tmp_path / "keys")
    with pytest.raises(ConfigurationError, match="RUNCAST_API_KEYS_FILE"):
        ApiKeys([], None)


def test_a_file_has_an_entry_a_line_and_comments(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text(f"# Ada's\n  {ADA.entry}  \n\n{BOB.entry.upper().replace('BOB', 'bob')}\r\n")
    keys = ApiKeys([], path)
    assert (keys.principal(ADA.key), keys.principal(BOB.key)) == ("ada", "bob")


def test_a_changed_file_lets_the_new_key_in_and_the_old_one_out(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text(ADA.entry)
    keys = ApiKeys([], path)
    path.write_text(f"{BOB.entry}\n")
    [file] = keys.files
    file.look()
    assert keys.principal(BOB.key) == "bob"
    with pytest.raises(Unauthenticated):
        keys.principal(ADA.key)


def test_a_wrong_line_is_named_and_not_shown(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text(f"{ADA.entry}\n{BOB.key}\n")
    with pytest.raises(ConfigurationError, match=r"keys: line 2 must look like") as refused:
        ApiKeys([], path)
    assert BOB.key not in str(refused.value)
