"""What generated text is held against: bytes that a token reads over the bandwidth, arithmetic of a prompt over the peak."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reports.saved.load import measurements_from_records, read_run
from reports.saved.record import Calibration, Peak
from reports.statistics.roofline import Place, place_of, share_of_bandwidth
from reports.views.ladder import generation_text, ladders
from reports.views.tables.ladder import ladder_tables, ladders_data
from reports.views.tables.runs import run_tables
from tests.reports.saved_runs import benchmark, save, saved_run

MODEL = "transformers.llama-150m-decode-512x4"
PEAKS = Calibration(
    threads=4,
    taken_at=datetime(2026, 11, 29, tzinfo=UTC),
    peaks=(Peak(precision="f32", flops_per_second=1e11),),
    bandwidth_bytes_per_second=2e10,
)
DECODE: dict[str, Any] = {
    "phase": "decode",
    "tokens": 512,
    "new_tokens": 16,
    "time_per_token_s": 0.05,
    "tokens_agreeing": 15,
    "weight_bytes": 4e8,
    "cache_bytes": 5e7,
    "bytes_per_step": 4.4e8,
    "weight_bytes_per_token": 1e8,
    "cache_bytes_per_token": 1e7,
}


def decoded(step: str = "generate", **changes: Any) -> dict[str, Any]:
    return benchmark(step, model=MODEL, generation=DECODE | changes, samples_per_second=80.0)


def test_decode_is_held_against_the_bandwidth() -> None:
    """A token reads its part of the weights, which four texts have in common, and the cache of its own text."""
    [read] = measurements_from_records([decoded()["extra_info"]])

    assert pytest.approx((1e8 + 1e7) * 80 / 2e10) == share_of_bandwidth(read, PEAKS)


def test_without_its_limit_decode_has_no_share() -> None:
    [read, prompt] = measurements_from_records(
        [each["extra_info"] for each in (decoded(), decoded(phase="prefill", weight_bytes_per_token=None))]
    )
    without = Calibration(threads=4, taken_at=PEAKS.taken_at)
    of_other_threads = Calibration(threads=8, taken_at=PEAKS.taken_at, bandwidth_bytes_per_second=2e10)

    assert [None] * 3 == [
        share_of_bandwidth(read, without), share_of_bandwidth(read, of_other_threads), share_of_bandwidth(prompt, PEAKS)
    ]  # fmt: skip


def test_precisions_without_a_peak_have_no_share_of_it() -> None:
    record = decoded()["extra_info"] | {"flops_per_sample": 3e8, "precision_share": {"int4": 1.0}}
    [read] = measurements_from_records([record])

    assert "int4, which has no peak" in str(place_of(read, PEAKS))


def test_weights_in_8_bits_are_not_held_against_products_in_8_bits() -> None:
    """Their kernels tell int8, and multiply in bf16 where activations are not quantized."""
    peaks = replace(PEAKS, peaks=(Peak(precision="int8", flops_per_second=4e11),))
    record = decoded()["extra_info"] | {"flops_per_sample": 3e8, "precision_share": {"int8": 1.0}}
    products, weights = measurements_from_records([record | {"precision": each} for each in ("int8", "int8 weights")])

    assert isinstance(place_of(products, peaks), Place)
    assert "its precision is int8 weights: no kernel tells in which one it multiplies them" == place_of(weights, peaks)


def test_the_ladder_shows_what_a_token_reads_and_its_share(tmp_path: Path) -> None:
    records = [decoded(share_of_bandwidth=0.44), decoded("generate_bf16", share_of_bandwidth=0.31, weight_bytes_per_token=5e7)]
    run = read_run(save(tmp_path, 1, saved_run([*records, benchmark("baseline", model="resnet50")])))
    found = ladders(run.measurements, run.outcomes)
    tokens, pictures, *_ = ladder_tables(found)
    headings = [column.heading for column in tokens.columns]
    shown = [dict(zip(headings, (cell.shown for cell in row), strict=True)) for row in tokens.rows]

    assert [("44.0", "95.4+9.54", "15/16"), ("31.0", "47.7+9.54", "15/16")] == [
        (each["% of its\nlimit"], each["MiB read\na token:\nweights\n+cache"], each["tokens\nof fp32"]) for each in shown
    ]
    assert "% of its\nlimit" not in [column.heading for column in pictures.columns]
    told = [line.text for line in tokens.lines]
    assert "decode is bound by memory: its limit is the measured bandwidth; generate comes nearest, with 44 %" in told
    assert any(text.startswith(", 80.0 tokens per second") for text in told)
    assert tokens.data is not None
    assert (0.44, 1e8, 15) == tuple(tokens.data[0][name] for name in ("share_of_bandwidth", "weight_bytes_per_token", "tokens_agreeing"))
    assert 0.44 == ladders_data(found)[0]["rows"][0]["generation"]["share_of_bandwidth"]


@pytest.mark.parametrize(("disturbed", "nearest"), [((True, False), "; generate_bf16 comes nearest, with 31 %"), ((True, True), "")])
def test_a_disturbed_step_comes_nearest_to_no_limit(tmp_path: Path, disturbed: tuple[bool, bool], nearest: str) -> None:
    steps = ("generate", 0.44, disturbed[0]), ("generate_bf16", 0.31, disturbed[1])
    records = [decoded(step, share_of_bandwidth=share) for step, share, _ in steps]
    for record, (*_, is_disturbed) in zip(records, steps, strict=True):
        record["extra_info"]["disturbed"] = is_disturbed
    [ladder] = ladders(read_run(save(tmp_path, 1, saved_run(records))).measurements)

    assert f"decode is bound by memory: its limit is the measured bandwidth{nearest}" == generation_text(ladder)


def test_prompts_read_nothing_for_each_token(tmp_path: Path) -> None:
    prompt = DECODE | {
        "phase": "prefill",
        "tokens": 128,
        "weight_bytes_per_token": None,
        "cache_bytes_per_token": None,
        "share_of_peak": 0.52,
    }
    run = read_run(save(tmp_path, 1, saved_run([benchmark("generate", model="transformers.llama-150m-prefill-128x1", generation=prompt)])))
    table, *_ = ladder_tables(ladders(run.measurements, run.outcomes))
    headings = [column.heading for column in table.columns]

    assert "MiB read\na token:\nweights\n+cache" not in headings
    assert "52.0" == table.rows[0][headings.index("% of its\nlimit")].shown
    assert len(headings) == len(table.rows[0])


def test_a_run_tells_of_its_prompts_and_tokens(tmp_path: Path) -> None:
    prompt = DECODE | {"phase": "prefill", "tokens": 128, "time_to_first_token_s": 0.2, "share_of_peak": 0.52}
    records = [decoded(share_of_bandwidth=0.44), benchmark("generate", model="transformers.llama-150m-prefill-128x1", generation=prompt)]
    run = read_run(save(tmp_path, 1, saved_run(records)))
    facts = {row[0].shown: row[1].shown for table in run_tables(run) for row in table.rows}

    token = "a token with 512 in the cache reads 95.4 MiB of weights and 9.54 MiB of cache, 44% of the bandwidth"
    assert f"{token}; 15 of 16 tokens are fp32's" == facts["decode"]
    assert "200 ms to the first token after 128; 52% of the peak; 15 of 16 tokens are fp32's" == facts["prefill"]
