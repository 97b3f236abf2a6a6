"""File names that cannot do harm."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.files.names import MAX_LENGTH, safe_name


@pytest.mark.parametrize(
    "sent, kept",
    [
        ("ring.stl", "ring.stl"),
        ("Кольцо Анны.stl", "Кольцо Анны.stl"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "model"),
        ("", "model"),
        ("...", "model"),
        ("a\x00b\r\n.stl", "ab.stl"),
        ("con.stl", "_con.stl"),
        ("NUL", "_NUL"),
        ("a<b>|c?.stl", "a_b__c_.stl"),
        ("\u202elts.exe", "lts.exe"),
        ("x" * 200 + ".stl", "x" * 116 + ".stl"),
    ],
)
def test_a_name_loses_what_could_do_harm_and_nothing_else(sent: str, kept: str) -> None:
    assert safe_name(sent) == kept


@given(st.text(max_size=300))
def test_no_name_gets_through_that_steers_a_screen_or_a_path(sent: str) -> None:
    kept = safe_name(sent)

    assert 0 < len(kept) <= MAX_LENGTH
    assert kept not in {".", ".."}
    assert not set(kept) & set('/\\<>:"|?*')
    assert all(unicodedata.category(letter)[0] != "C" for letter in kept)
    assert safe_name(kept) == kept
