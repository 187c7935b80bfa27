"""The glossary says where each word stands in the code, and each word once."""

from __future__ import annotations

import re

import pytest

from tests.fixtures.processes import ROOT

ROWS = re.findall(
    r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$",
    (ROOT / "docs" / "reference" / "glossary.md").read_text(),
    re.MULTILINE,
)
WORDS = [(word, places) for word, places in ROWS if word != "word"]


def test_a_word_means_one_thing() -> None:
    words = [word for word, _ in WORDS]
    assert len(words) > 40
    assert len(words) == len(set(words))


@pytest.mark.parametrize(("word", "places"), WORDS, ids=[word for word, _ in WORDS])
def test_a_word_stands_where_the_glossary_says(word: str, places: str) -> None:
    found = re.findall(r"`([a-z0-9_/]+(?:\.py)?)`", places)
    assert found
    for place in found:
        assert (ROOT / "securedrop_ftp" / place).exists(), f"{word}: {place}"
