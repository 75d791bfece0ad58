"""What is shown: every figure asked for, and names of unknown origin harmless in each format."""

import csv
import io
import json
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from reports.__main__ import main
from reports.saved.files import NoFolder
from reports.saved.load import read_run
from reports.saved.record import SavedGain
from reports.show.pictures import CannotPlot, check_plot, ladders_picture
from reports.show.tables import FORMATS, print_tables, tables_csv, tables_html, tables_json, tables_markdown
from reports.statistics import DISTURBED, Interval
from reports.text.figures import agreement, decibels, gain_short, signed_percent, significant, sqnr, top1, verdict_over
from reports.text.markdown import escape, unescape
from reports.text.plain_text import plain
from reports.views.ladder import Ladder, ladders
from reports.views.tables import Cell, Column, Line, Table
from reports.views.tables.ladder import ladder_tables
from tests.reports.saved_runs import benchmark, calls, ladder, outcome, save, saved_run

HOSTILE = [
    "<script>alert(1)</script>",
    "| a | b |\n\n# title",
    "\x1b[2J\x1b]0;owned\x07",
    "[bold red]markup[/]",
    "@everyone https://example.org [x](javascript:y)",
    "=HYPERLINK(1)",
    "$x^{",
    "\u202eright to left\u200b中文",
    "`code` ``` * _ ~",
    "x" * 3000,
]


def found(tmp_path: Path, *benchmarks: dict[str, Any], outcomes: list[dict[str, Any]] | None = None) -> tuple[Ladder, ...]:
    run = read_run(save(tmp_path, 1, saved_run(benchmarks, outcomes=outcomes)))
    return ladders(run.measurements, run.outcomes)


def terminal(shown: tuple[Ladder, ...], width: int) -> str:
    text = io.StringIO()
    print_tables(Console(file=text, width=width, force_terminal=False), ladder_tables(shown))
    return text.getvalue()


@pytest.fixture
def usual(tmp_path: Path) -> tuple[Ladder, ...]:
    steps = ("baseline", "batch_8", "channels_last", "compile_workers_pinned")
    skipped = outcome("tcmalloc", "skipped", "libtcmalloc is not installed", "apt-get install libtcmalloc-minimal4")
    return found(tmp_path, *ladder(*steps), outcomes=[*(outcome(step, "measured") for step in steps), skipped])


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Ladder, ...]:
    name = request.param
    outcomes = [
        outcome("baseline", "measured", model=name),
        outcome(name, "measured", model=name),
        outcome(name + "2", "failed", name, name, model=name),
    ]
    slower = benchmark(name, model=name, over="baseline", over_medians_s=(0.1, 0.1, 0.1), precision_share={name: 1.0})
    return found(tmp_path, benchmark(model=name), slower, outcomes=outcomes)


@pytest.mark.parametrize("width", [80, 100, 120, 150])
def test_the_terminal_table_fits_and_tells_steps_gains_reasons_and_the_best(usual: tuple[Ladder, ...], width: int) -> None:
    text = terminal(usual, width)

    assert max(map(len, text.splitlines())) <= width
    for part in (
        "compile_workers_pinned",
        "than",
        "best: compile_workers_pinned",
        "tcmalloc skipped: libtcmalloc is not installed -> apt-get",
    ):
        assert part in text


def test_a_wide_table_shows_all_figures(usual: tuple[Ladder, ...]) -> None:
    text = terminal(usual, 150)

    for part in ("43.2", "98.4", "3.20", "0.88", "bf16 96, f32 4", "1.00x", "faster than batch_8"):
        assert part in text


@pytest.mark.parametrize(("samples", "has_p99"), [(27, False), (180, True)])
def test_a_p99_of_fewer_than_100_calls_is_their_slowest_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], samples: int, has_p99: bool
) -> None:
    """CSV keeps the number, and the count beside it; a tracker gets none."""
    few = calls(0.0444, samples) | {"latency_max_s": 0.0488}
    save(tmp_path, 1, saved_run([benchmark(**few), benchmark("compile", **few)]))

    def shown(*words: str) -> str:
        assert 0 == main([*words, "--storage", str(tmp_path)])
        return capsys.readouterr().out

    assert 0 == main(["page", "--out", str(tmp_path / "page.html"), "--storage", str(tmp_path)])
    capsys.readouterr()
    page = re.sub(r'data-v="[^"]*"', "", (tmp_path / "page.html").read_text())
    for text in (shown("ladder"), shown("ladder", "--format", "markdown"), shown("show", "1"), page, shown("recommend")):
        assert has_p99 == ("44.4" in text)
        assert has_p99 != ("48.8" in text)
        assert has_p99 != (f"max of {samples}" in text or f"in {samples} calls" in text)
    [row, _] = csv.DictReader(io.StringIO(shown("ladder", "--format", "csv")))
    assert ("0.0444", str(samples)) == (row["latency_p99_s"], row["latency_samples"])
    assert has_p99 == ("latency-p99" in shown("export", "--format", "bmf"))


def test_a_narrow_table_says_what_it_leaves_out(usual: tuple[Ladder, ...]) -> None:
    hidden = "SPS in its pairs, p50 ms, p99 ms, SQNR dB, top-1 %, cold start s, peak GiB"
    assert f"columns left out: {hidden}" in " ".join(terminal(usual, 80).split())


def test_hostile_names_reach_the_terminal_without_control_or_markup(hostile: tuple[Ladder, ...]) -> None:
    text = terminal(hostile, 120)

    assert not [character for character in text if character != "\n" and not character.isprintable()]
    assert max(map(len, text.splitlines())) <= 120


def test_markup_is_shown_as_text(tmp_path: Path) -> None:
    assert "[bold red]markup[/]" in terminal(found(tmp_path, benchmark("[bold red]markup[/]")), 120)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_harmless_in_every_format(name: str) -> None:
    """Wherever it stands in a table: the one renderer is the one place that makes text safe."""
    column, line = Column(name, "field", is_number=False, folds=True), Line(name, lead=name)
    table = Table(title=name, columns=(column, Column("n", "n")), rows=((Cell(name), Cell("1")),), before=(line,), remarks=(name, line))
    stream = io.StringIO()
    print_tables(Console(file=stream, width=80, force_terminal=False), [table])

    assert not [character for character in stream.getvalue() if character != "\n" and not character.isprintable()]
    markdown = tables_markdown([table])
    assert {3} == {row.replace("\\|", "").count("|") for row in markdown.splitlines() if row.startswith("|")}
    assert not [part for part in ("<script", "@everyone", "https://") if part in markdown]
    assert not tables_csv([table]).splitlines()[1].lstrip('"').startswith(("=", "+", "@"))
    assert name == json.loads(tables_json([table]))[0]["rows"][0]["field"]
    assert [] == [
        tag
        for tag in re.findall(r"<(\w+)", tables_html([table]))
        if tag not in ["section", "h3", "p", "div", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"]
    ]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", ["list", "show 1", "ladder 1", "compare 1 2", "history", "profile 1 --step", "roofline 1", "cost 1"])
def test_every_command_has_every_format_and_hostile_names_stay_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, form: str
) -> None:
    name = "\x1b[2J<script>alert(1)</script> [bold red]m[/] @everyone"
    operators = [{"name": name, "self_s": 0.1, "share": 1.0, "calls": 1.0}]
    profile = {"source": name, "inferences": 1, "inference_s": 0.1, "operators": operators, "notes": [name]}
    peaks = [{"precision": "bf16", "flops_per_second": 1e12, "trial": name, "kernel": name}]
    calibration = {"threads": 4, "taken_at": "2026-11-20T04:00:00+00:00", "peaks": peaks, "notes": [name]}
    found: dict[str, Any] = {"profile": profile, "flops_per_sample": 1e9, "bytes_per_sample": 1e6, "precision_share": {"bf16": 1.0}}
    step = benchmark(name, model=name, over="x", over_medians_s=(0.1,) * 3, findings=[name], **found)
    for number in (1, 2):
        skipped = outcome(f"{name}2", "skipped", name, name, model=name)
        save(tmp_path, number, saved_run([step], outcomes=[outcome(name, "measured", model=name), skipped], calibration=calibration))

    assert 0 == main([*command.split(), *([name] if "--step" in command else []), "--format", form, "--storage", str(tmp_path)])

    shown = capsys.readouterr().out
    assert not [character for character in shown if character != "\n" and not character.isprintable()]
    assert "alert" in shown
    if form in {"markdown", "html"}:
        assert "<script" not in shown
    if form == "json":
        json.loads(shown)


def test_markdown_escapes_every_mark() -> None:
    assert r"a\|b \`c\` \*d\* \_e\_ \[f\]\(g\) \# &lt;i&gt; &amp; @<!-- -->j" == escape("a|b `c` *d* _e_ [f](g) # <i> & @j")


@pytest.mark.parametrize("text", ["#12", "a#12", "GH-12", "gh-1", "o/r#1"])
def test_markdown_links_no_issue(text: str) -> None:
    """GitHub makes links of what is shown, escaped or not; and what the gate wrote is read again as it was."""
    assert not re.search(r"(?i)(#|GH-)\d", escape(text).replace("\\", ""))
    assert text == unescape(escape(text))


@pytest.mark.parametrize("text", ["=1+1", "\t=1+1", "\r@SUM(1)", " +1", "＝1", "＠x", "－1"])  # noqa: RUF001
def test_csv_runs_no_formula(text: str) -> None:
    written = tables_csv([Table(data=({"name": text},))])

    assert written.splitlines()[1].strip('"').startswith("'")


def test_csv_has_plain_numbers_and_empty_cells(usual: tuple[Ladder, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(tables_csv(ladder_tables(usual)))))

    assert ["baseline", "batch_8", "channels_last", "compile_workers_pinned", "tcmalloc"] == [row["step"] for row in rows]
    assert 1.2 == pytest.approx(float(rows[1]["gain"]), abs=0.05)
    assert ("", "", "libtcmalloc is not installed") == (rows[0]["gain"], rows[4]["samples_per_second"], rows[4]["reason"])


def test_pictures_are_drawn_whatever_the_names_are(hostile: tuple[Ladder, ...]) -> None:
    png = ladders_picture(hostile, ".png")
    svg = ladders_picture(hostile, ".SVG")

    assert b"\x89PNG" == png[:4]
    width, height = struct.unpack(">II", png[16:24])
    assert min(width, height) > 300
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_one_process_gets_no_interval_in_the_picture(tmp_path: Path) -> None:
    """Not even one without width, which would look like certainty."""
    [shown] = found(tmp_path, benchmark(medians_s=(0.1,)))
    [row] = shown.measured
    sps = row.measurement.samples_per_second
    certain = replace(row, samples_per_second_interval=Interval(sps, sps))

    assert row.samples_per_second_interval is None
    assert ladders_picture([shown], ".png") == ladders_picture([shown], ".png")
    assert ladders_picture([shown], ".png") != ladders_picture([replace(shown, rows=(certain,))], ".png")


def test_a_picture_needs_a_known_ending_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CannotPlot, match=r"\.png or \.svg"):
        check_plot(tmp_path / "ladder.pdf")
    with pytest.raises(NoFolder, match="there is no folder"):
        check_plot(tmp_path / "none" / "ladder.png")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0.00"), (5.678, "5.68"), (56.78, "56.8"), (567.8, "568"), (56780.0, "56780"), (1e-5, "1.00e-05"), (1e18, "1.00e+18")],
)
def test_three_digits_are_shown(value: float, expected: str) -> None:
    assert expected == significant(value)


def test_gains_are_percent_and_from_three_on_factors() -> None:
    assert ("-4.5 %", "+103.7 %", "4.25x", "-") == (
        signed_percent(0.955),
        signed_percent(2.037),
        signed_percent(4.25),
        signed_percent(None),
    )
    assert "+10.0 % [+5.0, +15.0]" == gain_short(SavedGain(over="x", ratio=1.1, low=1.05, high=1.15, verdict="faster"))
    assert "4.00x [3.50, 4.50]" == gain_short(SavedGain(over="x", ratio=4, low=3.5, high=4.5, verdict="faster"))
    assert "-" == gain_short(SavedGain(over="x", ratio=63.1, low=35.6, high=111.7, verdict=DISTURBED))


def test_a_verdict_names_what_it_is_over() -> None:
    assert "faster than x" == verdict_over(SavedGain(over="x", ratio=1.1, low=1.05, high=1.15, verdict="faster"))
    assert "not resolved against x" == verdict_over(SavedGain(over="x", ratio=1, low=0.9, high=1.1, verdict="not resolved (±10.6 %)"))
    assert "not resolved (one pair) against x" == verdict_over(SavedGain(over="x", ratio=1, verdict="not resolved (one pair)"))


def test_cosines_are_cut_not_rounded() -> None:
    assert ("0.9999", "1.0000", "1.0000", "-") == (agreement(0.99996), agreement(1.0), agreement(0.9999999), agreement(None))


def test_ratios_of_signal_to_noise_say_where_outputs_are_equal() -> None:
    """A record has 200 dB there."""
    assert ("43.2", "equal", "-") == (decibels(43.21), decibels(200.0), decibels(None))
    assert ("SQNR 43.2 dB", "outputs equal", "SQNR -") == (sqnr(43.21), sqnr(200.0), sqnr(None))
    assert ("100", "99.9", "98.4", "-") == (top1(1.0), top1(0.99999), top1(63 / 64), top1(None))


def test_plain_text_has_one_line_and_a_limit() -> None:
    assert "a b" == plain("a\nb\x00\u200b")
    assert "aaaa…" == plain("a" * 100, 5)
