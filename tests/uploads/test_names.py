"""File names from clients, made harmless."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.uploads.names import MAX_BYTES, clean_name, on_disk


@pytest.mark.parametrize(
    "name", ["report.pdf", "Größe 1 (final).csv", "日本語.txt", "a", ".bashrc-copy", "x.tar.gz", "🙂.png"]
)
def test_an_ordinary_name_stays(name):
    assert clean_name(name) in (name, name.lstrip("."))


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\win.ini", "win.ini"),
        ("C:\\Users\\ada\\a.txt", "a.txt"),
        ("/etc/passwd", "passwd"),
        ("a/", "file"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("   ", "file"),
        ("...hidden...", "hidden"),
        ("a\x00b.txt", "ab.txt"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie_ x=1"),
        ("a\n- b → /etc/passwd", "passwd"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("zero\u200bwidth\ufeff.txt", "zerowidth.txt"),
        ("line\u2028end.txt", "lineend.txt"),
        ("full\uff0fwidth.txt", "width.txt"),
        ("div\u2215ision.txt", "ision.txt"),
        ("lone\ud800.txt", "lone.txt"),
        ("e\u0301.txt", "é.txt"),
        ("e\u202e\u0301.txt", "é.txt"),
        ("a  \t b.txt", "a b.txt"),
        ("what?*<|>.txt", "what_____.txt"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("com1 .log", "_com1 .log"),
        ("console.log", "console.log"),
        ("_NUL", "_NUL"),
        ("the con.txt", "the con.txt"),
        ("file.txt::$DATA", "file.txt__$DATA"),
    ],
)
def test_what_is_more_than_a_name_is_taken_out(name, clean):
    assert clean_name(name) == clean


def test_a_long_name_is_cut_before_its_suffix():
    assert clean_name("ü" * 300 + ".pdf") == "ü" * 125 + ".pdf"
    assert clean_name("a." + "b" * 300) == "a." + "b" * 253


@given(st.text(max_size=600))
def test_any_name_becomes_one_that_is_only_a_name(name):
    clean = clean_name(name)
    assert clean == clean_name(clean)
    assert 1 <= len(clean.encode()) <= MAX_BYTES
    assert clean == unicodedata.normalize("NFC", clean)
    assert clean not in {".", ".."}
    assert not set(clean) & set('/\\<>:"|?*')
    assert all(unicodedata.category(each)[0] != "C" for each in clean)


@pytest.mark.parametrize(
    ("name", "kept_as"),
    [
        ("report.PDF", "file_1.pdf"),
        ("x.tar.gz", "file_1.gz"),
        ("none", "file_1"),
        (".env", "file_1"),
        ("a.b c", "file_1"),
        ("a.ümlaut", "file_1"),
        ("a.averyverylongsuffix", "file_1"),
        ("a.", "file_1"),
    ],
)
def test_on_disk_a_file_has_its_id_and_a_plain_suffix(name, kept_as):
    assert on_disk("file_1", name) == kept_as
