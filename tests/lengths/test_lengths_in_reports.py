"""What reports say of texts whose lengths vary."""

from pathlib import Path

import pytest

from reports.saved.load import measurements_from_records, read_run
from reports.text.figures import lengths_short
from reports.views.ladder import ladders
from reports.views.tables.ladder import ladder_tables
from reports.views.tables.runs import run_tables
from tests.reports.saved_runs import benchmark, save, saved_run

MODEL = "transformers.bert-16to256.3f2a9cx8"
LENGTHS = {
    "shares": [[16, 0.5], [64, 0.3], [256, 0.2]],
    "texts": 32,
    "real_tokens": 2400,
    "computed_tokens": 8192,
    "tokens_per_second": 1200.0,
    "batches": [[8, 256]] * 4,
}


def test_the_ladder_has_real_tokens_where_lengths_vary(tmp_path: Path) -> None:
    run = read_run(
        save(tmp_path, 1, saved_run([benchmark("lengths_padded", model=MODEL, lengths=LENGTHS), benchmark("baseline", model="resnet50")]))
    )
    texts, pictures, *_ = ladder_tables(ladders(run.measurements, run.outcomes))
    headings = [column.heading for column in texts.columns]
    [row] = texts.rows

    assert "1200" == row[headings.index("real\ntokens/s")].shown
    assert "real\ntokens/s" not in [column.heading for column in pictures.columns]
    assert "top-1\n%" not in headings
    assert [len(row), len(pictures.rows[0])] == [len(headings), len(pictures.columns)]
    assert texts.data is not None
    assert (1200.0, pytest.approx(1 - 2400 / 8192)) == (texts.data[0]["tokens_per_second"], texts.data[0]["padding_share"])
    told = "32 texts of 16 (50 %), 64 (30 %) and 256 (20 %) tokens; padding of all computed tokens: lengths_padded 71 %"
    assert f"{told}; kernel time is that of the longest batch" in [
        remark if isinstance(remark, str) else remark.text for remark in texts.remarks
    ]


def test_a_run_shows_the_distribution(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([benchmark("lengths_padded", model=MODEL, lengths=LENGTHS)])))
    facts = {row[0].shown: row[1].shown for table in run_tables(run) for row in table.rows}

    told = "1200 real tokens per second of texts of 16 (50 %), 64 (30 %) and 256 (20 %) tokens, 71% of the computed tokens are padding"
    assert facts["throughput"].endswith(told)


def test_records_from_before_have_no_lengths() -> None:
    [read] = measurements_from_records([benchmark("baseline")["extra_info"]])

    assert read.lengths is None


def test_many_lengths_are_shown_by_their_range() -> None:
    assert "8 (100 %) tokens" == lengths_short([(8, 1.0)])
    assert "1 to 9 tokens" == lengths_short([(tokens, 1 / 9) for tokens in range(1, 10)])
