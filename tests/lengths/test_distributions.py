"""Distributions of lengths: how they are named and refused, what is drawn from them, and the batches of each strategy."""

import re
from collections import Counter
from pathlib import Path

import pytest

from fixtures.inputs.lengths import (
    BUCKETS,
    DEFAULT,
    OWN_LONGEST,
    SORTED,
    LengthsError,
    PaddedBatch,
    batches,
    bucket,
    computed,
    drawn,
    named,
    texts_for,
)
from fixtures.models import spec_id
from fixtures.protocol import ModelSpec
from fixtures.steps.grid import varying
from reports.views.grid import _point


def test_shares_are_named_in_any_order() -> None:
    assert ((16, 0.5), (64, 0.3), (256, 0.2)) == named(DEFAULT)
    assert named(DEFAULT) == named("256:0.2, 16:.5,64:0.3")


def test_shares_may_be_longer_than_a_files_name() -> None:
    """A path has at most 255 characters between two slashes; a histogram of 50 lengths has 399."""
    text = ",".join(f"{tokens}:0.02" for tokens in range(16, 66))

    assert 399 == len(text)
    assert 50 == len(named(text))


def test_shares_may_be_rounded() -> None:
    """Thirds sum to 0.99."""
    assert pytest.approx([1 / 3] * 3) == [share for _, share in named("8:0.33,16:0.33,32:0.33")]


def test_a_file_of_lengths_counts_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "lengths.txt"
    file.write_text("12\n7\n\n12\n 300 \n")

    assert ((7, 0.25), (12, 0.5), (300, 0.25)) == named(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("16:0.5,64:0.3", "the shares sum to 0.8, expected 1; let them sum to 1"),
        ("16:0.5,64:0.5,256:0.2", "the shares sum to 1.2, expected 1"),
        ("16:0.5,64", "expected TOKENS:SHARE with at least one token and a share above 0, found '64'"),
        ("0:1", "found '0:1'; write it as 16:0.5,64:0.3,256:0.2, or name a file of lengths, one a line"),
        ("16:0,64:1", "found '16:0'"),
        ("16:-1,64:2", "found '16:-1'"),
        ("16:nan", "found '16:nan'"),
        ("/no/such/file", "no file of lengths can be read there (No such file or directory); name one with a length a line"),
    ],
)
def test_wrong_distributions_are_refused(text: str, message: str) -> None:
    with pytest.raises(LengthsError, match=re.escape(message)):
        named(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file holds no length; write the tokens of each of your texts, one length a line"),
        (b"\n\n", "the file holds no length"),
        (b"12\ntwelve\n", "line 2: expected the tokens of a text, a whole number from 1 to 999999, found 'twelve'; write one length"),
        (b"12\n0\n", "line 2: expected"),
        (b"1.5\n", "line 1: expected"),
        (b"\xff\xfe", "it is no text in UTF-8"),
    ],
)
def test_a_file_without_lengths_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "lengths.txt"
    file.write_bytes(content)

    with pytest.raises(LengthsError, match=re.escape(message)):
        named(str(file))


@pytest.mark.parametrize("count", [32, 64])
def test_each_length_has_its_share_of_the_texts(count: int) -> None:
    found = drawn(named(DEFAULT), count)
    shares = {tokens: number / count for tokens, number in Counter(found).items()}

    assert found == drawn(named(DEFAULT), count)
    assert {16: 0.5, 64: 0.3, 256: 0.2} == pytest.approx(shares, abs=1 / count)
    assert found != sorted(found)


@pytest.mark.parametrize(("batch_size", "texts"), [(1, 32), (8, 32), (5, 35), (64, 256)])
def test_a_pass_has_whole_batches(batch_size: int, texts: int) -> None:
    assert texts == texts_for(batch_size)


def test_buckets_are_powers_of_two_up_to_the_longest_text() -> None:
    assert [16, 16, 32, 64, 200, 200] == [bucket(tokens, 200) for tokens in (1, 16, 17, 64, 129, 200)]
    assert 10 == bucket(3, 10)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), [((0, 1), 40), ((2, 3), 40)]),
        ((OWN_LONGEST,), [((0, 1), 30), ((2, 3), 6)]),
        ((SORTED, OWN_LONGEST), [((1, 2), 5), ((3, 0), 30)]),
        ((SORTED, BUCKETS), [((1, 2), 16), ((3, 0), 32)]),
    ],
)
def test_a_strategy_orders_and_pads_texts(words: tuple[str, ...], expected: list[tuple[tuple[int, ...], int]]) -> None:
    found = batches([30, 4, 5, 6], 2, 40, words)

    assert [PaddedBatch(rows=rows, tokens=tokens) for rows, tokens in expected] == list(found)
    assert sum(len(rows) * tokens for rows, tokens in expected) == computed(found)


def test_two_distributions_have_two_ids() -> None:
    """Otherwise a comparison of runs would hold different texts against each other. No id is a point of the grid."""
    ids = []
    for text in (DEFAULT, "16:0.4,64:0.4,256:0.2"):
        [point] = varying(["transformers:bert"], named(text), 8)
        ids.append(spec_id(ModelSpec(name=point.name, sequence_length=256, batch_size=8, lengths=point.lengths, texts=32)))

    assert 2 == len(set(ids))
    assert all(each.startswith("transformers.bert-16to256.") and each.endswith("x8") and _point(each) is None for each in ids)
