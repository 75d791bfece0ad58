"""What the outputs say, and that no name can break out of them."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from rich.console import Console

from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Judged, Verdict
from reports.gate.limits import USUAL
from reports.gate.pair import Figures, MetricFigure
from reports.gate.quantities import quantities
from reports.gate.result import Result, Row
from reports.gate.show.gate_github import gate_annotations
from reports.gate.show.gate_json import gate_json
from reports.gate.show.gate_junit import gate_junit
from reports.gate.show.gate_tables import gate_csv, gate_html, gate_markdown, print_gate
from reports.gate.show.gate_texts import headline
from reports.gate_comment import trusted
from reports.text.markdown import unescape
from reports.text.metric_limit import metric_limit_of
from tests.gate.pairs import pair, percent, result, row, side

A, B = Benchmark("resnet50", "baseline"), Benchmark("vit", "pt2e_int8")
SLOWER = percent(4.5, 5.5, 5, 5.2, 4.8, 5.1, 4.9, 5, 5, 4.7, 5.3)
HOSTILE = "<script>x</script>|`a`*b*[c](https://e.vil)@team\n::error::%0A\x1b[31m\x00\u202e]]>"
ERROR = Row(model="vit", step="openvino", judged=Judged(verdict=Verdict.ERROR, why="head: no int8 kernel ran"))
NEW = Row(model="vit", step="new_step", judged=Judged(verdict=Verdict.NEW, why="on head only; on base not in its catalogue"))
UNTOLD = percent(-20, 25, -15, 10, 30, -5, 2, -25, 15, 20, -10)


@pytest.fixture
def told() -> Result:
    """One benchmark of each kind."""
    return result(
        row(A, percent(-0.5, 0.5, -0.3, 0.3, -0.1, 0.1)),
        row(B, SLOWER[:6], SLOWER),
        row(Benchmark("vit", "noisy"), UNTOLD[:6], UNTOLD),
        row(Benchmark("vit", "faster"), percent(-5, -5.5, -4.5, -5.2, -4.8, -5)),
        ERROR,
        NEW,
        verdict=Verdict.ERROR,
    )


@pytest.fixture
def hostile() -> Result:
    """Every text that comes from outside is hostile."""
    rows = [
        Row(model=HOSTILE, step=HOSTILE, judged=Judged(verdict=verdict, why=HOSTILE, slowdown=0.1), pairs=(pair(0.1),))
        for verdict in Verdict
    ]
    evil = side(revision=HOSTILE, subject=HOSTILE, python=HOSTILE)
    return result(*rows, verdict=Verdict.ERROR, error=HOSTILE, base=evil, head=evil, notes=(HOSTILE,), machine={"cpu_model": HOSTILE})


def shown(told: Result, width: int = 150) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_gate(console, told)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_headline_counts_verdicts(told: Result) -> None:
    assert "ERROR: 1 ERROR, 1 REGRESSION, 1 INCONCLUSIVE, 2 PASS (1 faster), 1 new, 1.7 min" == headline(told)
    assert "ERROR: nothing compared, 1.7 min" == headline(result(verdict=Verdict.ERROR, error="x"))


def test_terminal_tells_each_benchmark(told: Result) -> None:
    text = shown(told)

    for part in (
        "base main 111111111111 (Make it faster) by /usr/bin/python3",
        "+5.0 % [+",
        "5.0 % slower in the median of 11 fresh pairs",
        "6+11",
        "p = ",
        "pairs spread by",
        "an improvement",
        "no int8 kernel ran",
        "REGRESSION: significant",
    ):
        assert part in " ".join(text.split()), part


def test_narrow_terminal_keeps_the_verdicts(told: Result) -> None:
    text = shown(told, width=60)
    assert "REGRESSION" in text
    assert headline(told).split(",")[0] in text


def test_noise_is_named_where_it_was_much() -> None:
    noisy = row(A, UNTOLD[:6], UNTOLD)
    pairs = tuple(pair(d, stolen=0.08, others=0.4, restless=2) for d in UNTOLD)
    text = " ".join(shown(result(Row(model=noisy.model, step=noisy.step, judged=noisy.judged, pairs=pairs))).split())

    assert "up to 8 % of CPU time stolen by the hypervisor" in text
    assert "other processes used up to 40 % of the CPUs during a pair" in text
    assert "workers still busy after 22 turns" in text


def test_fixtures_that_are_not_a_sides_own_are_told() -> None:
    assert "measured with the gate's fixtures" in shown(result(base=side(fixtures="the gate's")))


def test_markdown_has_a_row_for_each_benchmark(told: Result) -> None:
    lines = gate_markdown(told).splitlines()

    assert lines[0].startswith("### 💥 Performance gate: ERROR: 1 ERROR, 1 REGRESSION")
    assert 2 + len(told.rows) == sum(line.startswith("|") for line in lines)


def test_csv_has_a_row_for_each_benchmark_with_plain_numbers(told: Result) -> None:
    found = list(csv.DictReader(io.StringIO(gate_csv(told))))

    assert [row.judged.verdict for row in told.rows] == [row["verdict"] for row in found]
    assert ("vit", "pt2e_int8", "17") == (found[1]["model"], found[1]["step"], found[1]["pairs"])
    assert 0.05 == pytest.approx(float(found[1]["slowdown"]), abs=1e-3)
    assert "" == found[-1]["slowdown"]


def test_json_has_its_documented_fields(told: Result) -> None:
    found = json.loads(gate_json(told))

    assert ("ERROR", 2, 1) == (found["verdict"], found["exit_code"], found["version"])
    documented = str(gate_json.__doc__)
    for name in (*found, *found["benchmarks"][0], *found["benchmarks"][0]["pairs"][0], *found["rules"], *found["base"]):
        assert name in documented, name
    regression = found["benchmarks"][1]
    assert ("vit-pt2e_int8", "REGRESSION", 17) == (regression["id"], regression["verdict"], len(regression["pairs"]))
    assert regression["slowdown"] == pytest.approx(0.05, abs=1e-3)
    assert regression["pairs"][0]["slowdown"] == pytest.approx(SLOWER[0])


def test_junit_counts_and_names_outcomes(told: Result) -> None:
    suite = ET.fromstring(gate_junit(told))

    assert {"tests": "6", "failures": "1", "errors": "1", "skipped": "2"}.items() <= suite.attrib.items()
    [failure] = suite.findall("testcase/failure")
    assert failure.attrib["message"].startswith("REGRESSION: 5.0 % slower")
    messages = [each.attrib["message"].split(":")[0] for each in suite.findall("testcase/skipped")]
    assert ["INCONCLUSIVE", "new"] == messages


def test_junit_of_a_gate_that_was_not_held_has_an_error() -> None:
    suite = ET.fromstring(gate_junit(result(verdict=Verdict.ERROR, error="'x' names no commit")))

    assert "1" == suite.attrib["errors"]
    assert "gate" == suite.findall("testcase")[0].attrib["name"]


def test_annotations_tell_what_is_no_pass(told: Result) -> None:
    levels = [line.split(" ")[0] for line in gate_annotations(told).splitlines()]

    assert ["::error", "::error", "::warning", "::notice", "::error", "::notice"] == levels


def test_hostile_names_stay_names_in_annotations(hostile: Result) -> None:
    """One command a line, and none that a name began."""
    lines = gate_annotations(hostile).splitlines()

    assert all(line.startswith(("::error title=", "::warning title=", "::notice title=")) for line in lines)
    assert not any("\x1b" in line or "\x00" in line for line in lines)
    title = lines[-1].split("title=")[1].split("::")[0]
    assert "," not in title
    assert ":" not in title
    assert "%250A" in lines[-1]


def test_hostile_names_stay_names_in_markdown(hostile: Result) -> None:
    text = gate_markdown(hostile)

    assert "<script" not in gate_html(hostile)
    for part in ("<script", "](http", "@team", "://e", "\x1b", "\u202e"):
        assert part not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {7} == {line.replace("\\|", "").count("|") for line in table}


def test_hostile_names_stay_names_on_the_terminal(hostile: Result) -> None:
    text = shown(hostile, width=400)

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script>" in text


def test_hostile_names_stay_names_in_xml_and_json(hostile: Result) -> None:
    suite = ET.fromstring(gate_junit(hostile))

    assert len(hostile.rows) + 1 == len(suite.findall("testcase"))
    assert HOSTILE == json.loads(gate_json(hostile))["benchmarks"][0]["model"]


def test_json_has_no_numbers_that_json_lacks() -> None:
    """One pair bounds nothing: null, never Infinity."""
    found = json.loads(gate_json(result(row(A, [0.01]))), parse_constant=pytest.fail)

    assert found["benchmarks"][0]["low"] is None
    assert found["benchmarks"][0]["high"] is None


def test_what_stands_beside_time_is_in_every_report() -> None:
    """Both sides of each measure, and a mark where one is a regression."""
    base = Figures(peak_rss_bytes=600 * 2**20, cold_start_s=2.0, build_s=30.0, artifact_bytes=100 * 2**20, sqnr_db=42.0)
    head = replace(base, peak_rss_bytes=1624 * 2**20)
    beside = quantities([pair(base=base, head=head) for _ in range(6)], USUAL, tests=1, alpha=0.01)
    told = result(replace(row(A, percent(-0.5, 0.5, -0.3, 0.3, -0.1, 0.1)), quantities=beside))

    for text in (" ".join(shown(told, width=200).split()), unescape(gate_markdown(told))):
        for part in (
            "600 MiB → 1.59 GiB (+170.7 %) !",
            "2.00 s",
            "30.0 s",
            "100 MiB",
            "42.0 dB",
            "memory from +5 % on",
            "build time not judged",
        ):
            assert part in text, part
    memory = json.loads(gate_json(told))["benchmarks"][0]["quantities"][0]
    assert ("memory", "bytes", 600 * 2**20, "REGRESSION") == (memory["name"], memory["unit"], memory["base"], memory["verdict"])
    for name in memory:
        assert name in str(gate_json.__doc__), name
    kept = {each.get("name"): each.get("value") for each in ET.fromstring(gate_junit(told)).iter("property")}
    assert ("1702887424", "42") == (kept["memory_bytes.head"], kept["SQNR_dB.base"])
    assert gate_markdown(told).rstrip() == trusted(gate_markdown(told)).rstrip(), "the comment shows it as it is"


def test_answers_have_a_column_where_they_are_told() -> None:
    """A quarter of the pictures, of which base gets all right."""
    base, head = Figures(right="1" * 100), Figures(right="0" * 25 + "1" * 75)
    beside = quantities([pair(base=base, head=head)], replace(USUAL, accuracy_points=1.0), tests=1, alpha=0.01)
    told = result(replace(row(A, percent(-0.5, 0.5, -0.3, 0.3, -0.1, 0.1)), quantities=beside))

    assert "100.0 % → 75.0 % (-25.0) !" in unescape(gate_markdown(told))
    assert "| accuracy" not in gate_markdown(result(row(A, percent(0.1, 0.2))))


def test_metrics_have_columns_where_they_are_told() -> None:
    base, head = (Figures(metrics=(MetricFigure(name="f1", value=value, samples=9),)) for value in (0.9, 0.85))
    limits = replace(USUAL, metrics=(metric_limit_of("f1=-0.01"),))
    beside = quantities([pair(base=base, head=head)], limits, tests=1, alpha=0.01)
    told = result(replace(row(A, percent(-0.5, 0.5, -0.3, 0.3, -0.1, 0.1)), quantities=beside, limits=limits), limits=limits)

    shown = unescape(gate_markdown(told))
    assert "metric f1" in shown
    assert "0.9 → 0.85 (-0.05) ?" in shown
    assert "f1 from -0.01 on" in shown
    [line] = csv.DictReader(io.StringIO(gate_csv(told)))
    assert ("f1=0.9", "f1=0.85") == (line["metrics_base"], line["metrics_head"])
    assert [{"name": "f1", "amount": 0.01, "rises": False, "is_percent": False}] == json.loads(gate_json(told))["limits"]["metrics"]


def test_markdown_of_an_error_beside_rows_has_its_table_apart() -> None:
    """A table that follows a list without an empty line is text of its last item."""
    told = gate_markdown(replace(result(row(A, percent(0.1, 0.2))), error="nothing was compared"))
    lines = told.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("| model"))
    assert "" == lines[place - 1]
    assert any("nothing was compared" in line for line in lines[:place])


def test_artifact_on_head_only_is_json() -> None:
    """A change from nothing has no figure."""
    base, head = Figures(artifact_bytes=0), Figures(artifact_bytes=100)
    beside = quantities([pair(base=base, head=head)], USUAL, tests=1, alpha=0.01)
    told = result(replace(row(A, percent(0.1, -0.1, 0, 0.1, -0.1, 0)), quantities=beside))

    assert json.loads(gate_json(told))["benchmarks"][0]["quantities"][0]["change"] is None
    assert "0.00 MiB → 9.54e-05 MiB" in shown(told, width=200)
