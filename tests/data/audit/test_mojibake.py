from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.data.audit.mojibake import find_mojibake

PIECES = ("café", "“ja”", "łódź", "naïve…", "Übung", "ÉTÉ", "5 €", "20 °C", "£9", "TM™", "straße", "–", "it’s", "plain")


def broken(text, encoding="cp1252"):
    """Return a text as a program shows it that takes UTF-8 for another encoding; bytes that it leaves open come through."""
    shown = {byte: bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in range(256)}
    return "".join(shown[byte] for byte in text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "café au lait",
        "it’s great – really",
        "20 °C",
        "Ёлки и палки",
        "😀 fun",
        "€ 5",
        "naïve",
        "日本語です",
        "Αθήνα εδώ",
    ],
)
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_what_was_read_wrongly_is_found_and_undone(text, encoding):
    seen = broken(text, encoding)
    found = find_mojibake(seen)
    assert found is not None
    assert found.repaired == text
    assert seen[found.at] != text[found.at]


def test_bytes_that_windows_1252_leaves_open_may_come_through():
    assert find_mojibake("he said â€œyesâ€\x9d").repaired == "he said “yes”"


def test_twice_broken_is_undone_twice():
    assert find_mojibake("it" + broken(broken("’")) + "s").repaired == "it’s"


def test_sound_characters_beside_broken_ones_stay():
    assert find_mojibake(f"“naïve” – {broken('café’s')} …").repaired == "“naïve” – café’s …"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "plain",
            "",
            "naïve café’s “déjà vu” …",
            "CAFÉ’S",
            "«SÍ»",
            "ESPAÑ”",
            "AMANHÃ”",
            "È…",
            "voilà”…",
            "café’”",
            "Straß”",
        ),
        *("2×£ 3", "Привет, мир", "日本語", "Ærø – Åse’s", "été", "Ça va\u00a0?", "ÂGE", "Ã", "â", "3 °C", "© 2004 ®"),
    ],
)
def test_sound_text_is_left_alone(text):
    assert find_mojibake(text) is None


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join))
def test_repairing_what_was_broken_gives_the_text_again(text):
    found = find_mojibake(broken(text))
    if text.isascii():
        assert found is None
    else:
        assert found.repaired == text
