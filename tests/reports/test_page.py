"""The page as it is written: what it says, that names stay text, that it needs nothing else, and that it can be read by anybody."""

import base64
import hashlib
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.page.scales import Scale, ratio_scale
from reports.page.sections import MOST_WHOLE
from tests.reports.html import Element, parse
from tests.reports.saved_runs import FINGERPRINT, benchmark, calls, labelled, ladder, metric, outcome, save, saved_run
from tests.reports.test_render import HOSTILE

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    "</script><script>window.owned = 1</script>",
    "\"><img src=x onerror='window.owned = 1'>",
    "' onmouseover='window.owned = 1",
    "{{ 7 * 7 }}{% include 'page.css' %}",
    "x" * 10_000,
]


def page(storage: Path, *arguments: str) -> Element:
    return parse(written(storage, *arguments))


def written(storage: Path, *arguments: str) -> str:
    out = storage / "report.html"
    assert 0 == main(["page", *arguments, "--out", str(out), "--storage", str(storage)])
    return out.read_text()


def hostile_run(name: str) -> dict[str, Any]:
    """A run whose every text is `name`."""
    texts: dict[str, Any] = dict.fromkeys(("family", "runtime", "precision", "changes", "weights"), name)
    texts |= {key: [name] for key in ("recipe", "left_out", "findings")}
    texts["left_out_reasons"] = {name: name}
    claims = [{"claim": name, "observed": name, "holds": True}]
    kernels = [{"operation": name, "implementation": name, "precision": name, "time_s": 0.1, "count": 1}]
    slower = benchmark(
        name,
        model=name,
        over="baseline",
        over_medians_s=(0.1, 0.1, 0.1),
        precision_share={name: 1.0},
        evidence=claims,
        kernels=kernels,
        environment={name: name},
        settings={name: name},
        **texts,
    )
    outcomes = [
        outcome("baseline", "measured", model=name),
        outcome(name, "measured", model=name),
        outcome(name + "2", "failed", name, name, model=name),
    ]
    fingerprint = FINGERPRINT | {"cpu_model": name, name: name}
    return saved_run([benchmark(model=name), slower], outcomes=outcomes, fingerprint=fingerprint, commit=name)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Two runs on one machine, of five steps each; the last one is not shown to pay, one is skipped, one failed."""
    for number in (1, 2):
        steps = ladder("baseline", "batch_8", "compile", first_s=0.2 / number)
        last = benchmark(
            "openvino", family="openvino", medians_s=(0.09, 0.1, 0.11), over="compile", over_medians_s=(0.11, 0.1, 0.09), **PROOF
        )
        outcomes = [outcome(step, "measured") for step in ("baseline", "batch_8", "compile", "openvino")]
        outcomes += [outcome("tcmalloc", "skipped", "libtcmalloc is not installed", "apt-get install libtcmalloc-minimal4")]
        outcomes += [outcome("pt2e_int8", "failed", "no int8 kernel ran", "see docs/evidence.md")]
        save(tmp_path, number, saved_run([*steps, last], outcomes=outcomes, saved_at=f"2026-11-1{number}T00:00:00+00:00"))
    return tmp_path


PROOF: dict[str, Any] = {
    "samples": 20,
    "changes": "the OpenVINO runtime",
    "evidence": [
        {"claim": "bf16 kernels", "observed": "bf16 96 %", "holds": True},
        {"claim": "two streams", "observed": "1", "holds": False},
    ],
}


def test_the_page_says_what_to_deploy_within_the_limits(tmp_path: Path) -> None:
    """The fastest loses 1.5 points of top-1; without limits nothing is said of them."""
    fast = benchmark("openvino_int8", medians_s=(0.04, 0.041, 0.042), **labelled(3))
    exact = benchmark("openvino", medians_s=(0.08, 0.081, 0.082), **labelled(0))
    save(tmp_path, 1, saved_run([benchmark(medians_s=(0.3, 0.3, 0.3), **labelled(0)), fast, exact]))

    answers = page(tmp_path, "1", "--max-accuracy-loss", "0.5").one("section", id="answers").text
    assert "Within 0.5 points of top-1 lost, deploy openvino of resnet50: 98.8 samples/s" in answers
    assert "Ruled out: 1 recipe" in answers
    assert "openvino_int8, 195 samples/s: 88.5 % top-1, -1.5 points [-2.5, -0.5], limit 0.5 points lost" in answers
    assert "the lowest p99 is" in page(tmp_path, "1", "--max-p99-ms", "0.001").one("section", id="answers").text
    assert "Within" not in page(tmp_path, "1").one("section", id="answers").text


def test_limits_are_asked_of_what_a_folder_serves(tmp_path: Path) -> None:
    """Neither of prompts without the tokens that follow, nor of training."""
    found = {"tokens": 128, "new_tokens": 16}
    points = [benchmark("generate", model=f"llama-{phase}", generation=found | {"phase": phase}) for phase in ("prefill", "decode")]
    save(tmp_path, 1, saved_run([*points, benchmark("train_baseline", model="vit", family="cpu_training")]))

    told = page(tmp_path, "1", "--max-p99-ms", "1000").one("section", id="answers").all("p")
    [within] = [each.text for each in told if each.text.startswith("Within")]
    assert "deploy generate of llama-decode" in within


def test_runs_that_say_nothing_about_their_machine_have_no_history(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path, number, saved_run(ladder("baseline"), fingerprint={}))

    assert not page(tmp_path).all("section", id="history")


def test_the_page_holds_metrics_against_their_limits(tmp_path: Path) -> None:
    """Repeatable: one of perplexity, one of the user's own metric."""
    fast = benchmark("openvino_int8", medians_s=(0.04, 0.041, 0.042), metrics=[metric("perplexity", 20.5, 20.0)])
    exact = benchmark("openvino", medians_s=(0.08, 0.081, 0.082), metrics=[metric("perplexity", 20.0, 20.0)])
    save(tmp_path, 1, saved_run([fast, exact]))

    answers = page(tmp_path, "1", "--metric-limit", "perplexity=+1%").one("section", id="answers").text
    assert "Within perplexity +1 %, deploy openvino of resnet50" in answers
    assert "perplexity 20.5, +0.5 [+0.4, +0.6] to fp32 eager's 20, limit +1 %" in answers
    both = page(tmp_path, "1", "--metric-limit", "perplexity=+1%", "--metric-limit", "f1=-0").one("section", id="answers").text
    assert "no f1 (measure with --evaluate), limit -0" in both


def test_the_answer_comes_first(storage: Path) -> None:
    answer = page(storage, "1").one("div", class_="answer").text

    assert "resnet50" in answer
    assert "Best recipe: openvino, 200 samples/s, 4.97x the baseline (unpaired), latency p99 110 ms, SQNR 43.2 dB." in answer
    assert "The last step that pays is compile: +19.8 % [" in answer
    assert "On top of it, openvino: not resolved" in answer
    assert "4 steps measured, 1 skipped, 1 failed" in answer
    assert "✗ pt2e_int8: no int8 kernel ran" in answer
    assert "What was skipped, and why: tcmalloc tcmalloc: libtcmalloc is not installed" in answer


def test_the_answer_tells_its_cost_where_the_machine_has_a_price(storage: Path) -> None:
    """0.15952 USD an hour at 200 samples a second are 0.22 USD for a million; the price is that of the instance type."""
    answer = page(storage, "1").one("div", class_="answer").text

    assert "A million inferences by it cost 0.222 USD [" in answer
    assert "c8g.xlarge: 0.15952 USD an hour in us-east-1" in answer


def test_of_generated_text_tokens_are_counted_and_paid_for(tmp_path: Path) -> None:
    """A sample is a token there, in every part of the page."""
    decode = {"phase": "decode", "tokens": 512, "new_tokens": 16}
    save(tmp_path, 1, saved_run([benchmark(step, model="llama-decode-512x1", generation=decode) for step in ("generate", "generate_bf16")]))
    shown = page(tmp_path, "1", "--price", "3.6")
    answer, cost = shown.one("div", class_="answer").text, shown.one("section", id="cost").text

    assert "80.0 tokens/s" in answer
    assert "A million tokens by it cost 12.50" in answer
    assert "cost of a million tokens by step" in cost
    assert [] == [part for part in ("answers", "ladders", "front", "cost") if "samples/s" in shown.one("section", id=part).text]


def test_a_disturbed_step_is_marked_where_its_share_of_the_peak_stands(tmp_path: Path) -> None:
    peaks = {"threads": 4, "taken_at": "2026-11-20T10:00:00+00:00", "peaks": [{"precision": "bf16", "flops_per_second": 1e12}]}
    work: dict[str, Any] = {"flops_per_sample": 1e9, "precision_share": {"bf16": 1.0}}
    steps = [benchmark("baseline", **work), benchmark("int8", disturbed=True, **work)]
    save(tmp_path, 1, saved_run(steps, calibration=peaks))
    limits = page(tmp_path, "1").one("section", id="limits")

    assert ["baseline", "int8 disturbed"] == [row.one("th").text for row in limits.all("tbody")]


def test_a_disturbed_step_is_marked_where_its_cost_stands(tmp_path: Path) -> None:
    """Its figure is none, though it may be the lowest of the table."""
    save(tmp_path, 1, saved_run([benchmark("baseline"), benchmark("int8", medians_s=(0.05,) * 3, disturbed=True)]))
    cost = page(tmp_path, "1").one("section", id="cost")

    assert ["baseline", "int8 disturbed"] == [row.one("th").text for row in cost.all("tbody")]
    assert "int8 was disturbed by other processes, so its cost is no figure" in cost.text


def test_a_step_that_took_turns_with_the_baseline_has_a_paired_speedup(tmp_path: Path) -> None:
    save(tmp_path, 1, saved_run(ladder("baseline", "compile", gain=2.0)))

    assert re.search(r"2\.\d\dx the baseline \[1\.9\d, 2\.\d\d\]", page(tmp_path).one("div", class_="answer").text)


def test_the_interval_of_a_paired_speedup_is_that_of_the_figure_beside_it(tmp_path: Path) -> None:
    """The rows are of other processes: 190 over 100. A ladder of generated text has a baseline of its own."""
    gain = {"ratio": 1.75, "low": 1.7, "high": 1.8, "verdict": "faster"}
    for number, lowest in enumerate(("baseline", "generate"), 1):
        best = benchmark("best", medians_s=(8 / 190,), gain=gain | {"over": lowest}, recipe=[lowest, "best"])
        save(tmp_path, number, saved_run([benchmark(lowest, medians_s=(8 / 100,), recipe=[lowest]), best]))
        save(tmp_path, number + 2, saved_run([benchmark(lowest, recipe=[lowest])]))

    for paired, alone in (("1", "3"), ("2", "4")):
        assert "190 samples/s, 1.75x the baseline [1.70, 1.80], latency" in page(tmp_path, paired).one("div", class_="answer").text
        assert "80.0 samples/s, 1.00x the baseline, latency" in page(tmp_path, alone).one("div", class_="answer").text


def test_a_ladder_whose_baseline_is_best_claims_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1, saved_run(ladder("baseline", "compile", gain=0.5)))

    answer = page(tmp_path).one("div", class_="answer").text
    assert "Best recipe: baseline" in answer
    assert "that pays" not in answer


def test_a_run_that_measured_nothing_says_so(tmp_path: Path) -> None:
    save(tmp_path, 1, saved_run([], outcomes=[outcome("compile", "failed", "g++ is missing", "apt-get install g++")]))

    shown = page(tmp_path)
    assert "Nothing was measured" in shown.one("div", class_="answer").text
    assert "g++ is missing" in shown.one("table", class_="ladder").text


def test_the_ladder_has_every_step_in_order_with_reasons_and_remedies(storage: Path) -> None:
    table = page(storage, "1").one("table", class_="ladder")

    rows = [group.all("th")[0].text for group in table.all("tbody", class_="row")]
    assert ["baseline", "batch_8", "compile", "openvino best", "tcmalloc", "pt2e_int8"] == rows
    assert "skipped: libtcmalloc is not installed Remedy: apt-get install libtcmalloc-minimal4" in table.text
    assert "failed: no int8 kernel ran Remedy: see docs/evidence.md" in table.text


def test_every_figure_stands_as_text_beside_its_drawing(storage: Path) -> None:
    group = page(storage, "1").all("tbody", class_="best")[0]

    for part in ("200", "4.97x", "not resolved against compile", "100", "105", "110", "0.88", "3.20 s", "0.9999", "bf16 96, f32 4"):
        assert part in group.text
    assert {"true"} == {drawing.attributes["aria-hidden"] for drawing in group.all("svg")}


def test_evidence_opens_on_demand_and_names_what_does_not_hold(storage: Path) -> None:
    group = page(storage, "1").all("tbody", class_="best")[0]

    details = group.one("details")
    assert "open" not in details.attributes
    assert "not proved" in details.one("summary").text
    for part in ("bf16 kernels: bf16 96 %", "does not hold: two streams: 1", "the OpenVINO runtime", "DNNL_DEFAULT_FPMATH_MODE=BF16"):
        assert part in details.text
    assert "convolution brgconv:sve_256 bf16 50.0 53" in details.one("table").text
    assert "measured not-proved" == group.attributes["data-outcome"]


def test_one_run_alone_has_neither_comparison_nor_history(tmp_path: Path) -> None:
    save(tmp_path, 1, saved_run(ladder("baseline", "compile")))

    assert ["In short", "Ladder", "Throughput and latency", "Cost", "Machine and environment"] == [
        title.text for title in page(tmp_path).all("h2")
    ]


def test_runs_of_one_machine_are_compared_by_their_throughput(storage: Path) -> None:
    shown = page(storage, "1", "2")

    table = shown.one("table", class_="comparison")
    assert "Throughput: run 0002 / run 0001" == table.one("caption").text
    assert ["▲ faster", "▲ faster", "? not resolved"] == [each.text for each in table.all("span", class_="verdict")][:3]
    assert "benchmarks are called faster or slower; by chance alone about 0.2 would be" in shown.text
    assert "python -m reports gate --base" in shown.text


def test_runs_of_different_machines_are_compared_by_their_speedups(storage: Path) -> None:
    save(storage, 3, saved_run(ladder("baseline", "batch_8", "compile"), fingerprint=FINGERPRINT | {"vcpus": 64}))

    shown = page(storage, "1", "3")
    assert "Speedups over each run's own baseline: run 0003 / run 0001" in shown.text
    assert "vcpus went from 4 to 64" in shown.text
    assert "the baseline of both: 1x" in shown.text
    assert re.search(r"Against 0001, of another machine: \d of \d speedups over each run's own baseline are called", shown.text)
    assert "≠ differs: vcpus 4 64" in shown.one("table", class_="machines").text


def test_emulated_runs_are_shown_and_not_compared(storage: Path) -> None:
    save(storage, 3, saved_run(ladder("baseline"), fingerprint=FINGERPRINT | {"emulated": True}))

    assert "Not compared: head" in page(storage, "1", "3").one("section", id="comparisons").text


def test_history_follows_the_machine_and_marks_a_change_of_level(tmp_path: Path) -> None:
    for day in range(1, 21):
        median_s = 0.1 * (1 + 0.003 * (day % 3)) * (1.25 if day >= 12 else 1)
        steps = [benchmark(), benchmark("compile", medians_s=[median_s, median_s * 1.01])]
        save(tmp_path, day, saved_run(steps, saved_at=f"2026-11-{day:02}T00:00:00+00:00"))
    save(tmp_path, 21, saved_run(ladder("baseline"), fingerprint=FINGERPRINT | {"vcpus": 64}, saved_at="2026-10-01T00:00:00+00:00"))

    section = page(tmp_path).one("section", id="history")
    steady, shifted = section.one("table", class_="history").all("tbody")
    assert "none" in steady.text
    assert "▼ -2" in shifted.text
    assert "at run 0012" in shifted.text
    assert "20 runs on c8g.xlarge" in section.text
    assert "Left out: 1 run on another machine, c8g.xlarge, Neoverse-V2, 64 vCPUs." in section.text
    assert 20 == len(section.one("table", class_="values").all("tr")) - 1
    answers = page(tmp_path).one("section", id="answers").text
    assert re.search(r"Over 20 runs of this machine the level changed of resnet50 compile ▼ -2\d\.\d % at run 0012\. The history", answers)


def test_history_says_what_it_leaves_out_of_its_own_machine(tmp_path: Path) -> None:
    for number, size in enumerate((64, 224, 224), 1):
        step = benchmark(input_shape=[8, 3, size, size])
        save(tmp_path, number, saved_run([step], saved_at=f"2026-11-1{number}T00:00:00+00:00"))

    told = "Left out: 1 measurement with other inputs, threads or workers than the newest of the step."
    assert told in page(tmp_path).one("section", id="history").text


def test_of_many_runs_few_are_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Details for some, the best recipe and the series for the rest."""
    for number in range(1, 31):
        save(tmp_path, number, saved_run(ladder("baseline", "compile"), saved_at=f"2026-11-{number:02}T00:00:00+00:00"))

    shown = page(tmp_path, *map(str, range(1, 31)))
    assert MOST_WHOLE == len(shown.all("table", class_="ladder"))
    assert ["0030", "0029"] == [group.one("th").text for group in shown.one("section", id="answers").all("tbody", class_="row")][:2]
    assert "30 runs on" in shown.one("section", id="history").text
    assert "Over 30 runs of this machine no step changed its level." in shown.one("section", id="answers").text
    assert "The best recipe of every run on this page: 30 rows" == shown.one("section", id="answers").one("summary").text, "it is folded"
    assert "the first run and the last 5" in capsys.readouterr().out


def test_runs_are_read_from_files_where_there_is_no_storage(tmp_path: Path) -> None:
    file = save(tmp_path / "elsewhere", 1, saved_run(ladder("baseline", "compile")))

    assert 0 == main(["page", str(file), "--out", str(tmp_path / "out.html"), "--storage", str(tmp_path / "none")])
    assert "Best recipe: <strong>" in (tmp_path / "out.html").read_text()


def test_the_same_runs_make_the_same_page(storage: Path) -> None:
    assert written(storage, "1", "2") == written(storage, "1", "2")


@pytest.mark.parametrize("name", HOSTILE + SCRIPTS, ids=range(len(HOSTILE + SCRIPTS)))
def test_hostile_names_stay_text(tmp_path: Path, name: str) -> None:
    save(tmp_path, 1, saved_run(ladder("baseline")))
    save(tmp_path, 2, hostile_run(name))
    save(tmp_path, 3, hostile_run(name) | {"datetime": "2026-11-21T00:00:00+00:00"})

    text = written(tmp_path, "1", "2", "3")
    shown = parse(text)
    assert 1 == len(shown.all("script"))
    assert not shown.all("img", "iframe", "object", "link", "base", "foreignobject")
    assert not [
        name for element in shown.all() for name in element.attributes if name.startswith("on") or name in {"style", "src", "action"}
    ]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08\x0b-\x1f\x7f]", text)
    assert len(text) < 600_000


def test_a_name_of_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    save(tmp_path, 1, hostile_run("<b>&amp;</b>"))

    assert "Best recipe: baseline" in page(tmp_path).text
    assert "<b>&amp;</b>: <b>&amp;</b>" in page(tmp_path).one("table", class_="ladder").text


def test_the_policy_allows_this_style_and_script_and_nothing_else(storage: Path) -> None:
    shown = page(storage, "1")

    [policy] = [meta.attributes["content"] for meta in shown.all("meta") if "http-equiv" in meta.attributes]
    digests = [
        base64.b64encode(hashlib.sha256(element.children[0].encode()).digest()).decode()
        for element in shown.all("style", "script")
        if isinstance(element.children[0], str)
    ]
    style, script = (f"'sha256-{digest}'" for digest in digests)
    assert f"default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'" == policy


def test_the_page_refers_to_nothing_outside_itself(storage: Path) -> None:
    text = written(storage, "1", "2")
    shown = parse(text)

    assert not re.search(r"[=\"'(]\s*https?:|url\(|@import|fetch\(|XMLHttp", text)
    ids = [element.attributes["id"] for element in shown.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    targets = {element.attributes["href"].removeprefix("#") for element in shown.all("a")}
    targets |= {element.attributes["aria-labelledby"] for element in shown.all() if "aria-labelledby" in element.attributes}
    assert targets <= set(ids)


def test_headings_tables_and_landmarks_tell_the_structure(storage: Path) -> None:
    shown = page(storage, "1", "2")

    levels = [int(heading.tag[1]) for heading in shown.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert 1 == levels.count(1)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert (1, 1, 1, 1) == tuple(len(shown.all(tag)) for tag in ("header", "nav", "main", "footer"))
    assert {"col", "row"} == {heading.attributes["scope"] for heading in shown.all("th")}
    for table in shown.all("table"):
        parts = [child.tag for child in table.children if isinstance(child, Element)]
        assert 1 == parts.count("thead")
        assert "caption" == parts[0] or table.text.startswith("operation"), "the kernels have a heading of their own"
    assert "Run 0002: inference ladder of c8g.xlarge, Neoverse-V2, 4 vCPUs" == shown.one("head").one("title").text
    assert "en" == shown.one("html").attributes["lang"]
    assert all("tabindex" in each.attributes for each in shown.all("div", class_="scroll"))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(theme: int) -> None:
    style = (ROOT / "reports/page/templates/page.css").read_text()
    colours = {found[1]: (found[2], found[3])[theme] for found in re.finditer(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", style)}

    for name in ("ink", "soft", "link", "best", "up", "down", "open", "note"):
        for ground in ("paper", "wash"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_ratios_are_placed_by_their_logarithm_and_beyond_the_edge_at_it() -> None:
    scale = ratio_scale([0.5, 2.0, None])

    assert (2.0, 50.0, 98.0) == (scale.place(0.5), scale.place(1), scale.place(2))
    assert (2.0, 98.0) == (scale.place(1e-18), scale.place(1e18))
    assert (0.5, 1.0, 2.0) == Scale(0.45, 2.2, is_logarithmic=True).ticks


@pytest.mark.parametrize("values", [[], [1.0], [1.02], [1e18, 1e-18], [3.28, 0.37], [0.5, 0.6], [40.0]])
def test_labels_of_an_axis_have_room(values: list[float]) -> None:
    scale = ratio_scale(values)

    assert 1.0 in scale.ticks
    assert all(scale.length(*two) >= 18 for two in itertools.pairwise(scale.ticks))


def test_a_missing_folder_exits_2_and_says_so(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["page", "--out", str(storage / "none" / "report.html"), "--storage", str(storage)])
    assert "there is no folder" in capsys.readouterr().err


WINOGRAD = {"operation": "convolution", "implementation": "winograd_acl_f32", "precision": "f32", "time_s": 0.1}


@pytest.mark.parametrize(
    ("gflop", "kernels", "told"),
    [
        (4, [], ["40 %", "compute"]),
        (20, [], ["200 %", "a fault of the measured peaks"]),
        (12, [WINOGRAD], ["120 % Winograd", "Winograd above 100 % is no fault: convolutions ran in Winograd kernels"]),
    ],
    ids=["below", "above", "winograd"],
)
def test_share_of_peak_is_shown_where_a_run_was_calibrated(tmp_path: Path, gflop: int, kernels: list[Any], told: list[str]) -> None:
    """10 samples of 4 GFLOP are 40 of 100 GFLOP/s, at 40 FLOP a byte: above the ridge of 10.

    Above the peak it is a fault, or explained in words, not by a text that only a mouse brings up.
    """
    peaks = [{"precision": "f32", "flops_per_second": 100e9}]
    calibration = {"threads": 4, "taken_at": "2026-11-11T00:00:00+00:00", "peaks": peaks, "bandwidth_bytes_per_second": 10e9}
    work: dict[str, Any] = {"flops_per_sample": gflop * 1e9, "bytes_per_sample": 1e8, "precision_share": {"f32": 1.0}, "kernels": kernels}
    save(tmp_path, 1, saved_run([benchmark(medians_s=(0.1,), samples=1, **work)], calibration=calibration | {"fingerprint": FINGERPRINT}))
    found = page(tmp_path).one("section", id="limits").text

    assert [] == [part for part in told if part not in found]


def test_front_names_the_steps_that_no_other_beats(storage: Path) -> None:
    """Latency falls while throughput rises up the ladder: the last step alone is worth choosing."""
    labels = [text.text for text in page(storage, "latest").one("section", id="front").all("text", class_="label")]

    assert labels
    assert "baseline" not in labels


def test_a_latency_of_no_time_is_none_to_choose_from(tmp_path: Path) -> None:
    """A damaged file has one; a logarithmic scale has no place for it."""
    save(tmp_path, 1, saved_run([*ladder("baseline", "compile"), benchmark("broken", latency_p99_s=0.0)]))

    assert "broken" not in page(tmp_path).one("section", id="front").text


def test_names_beside_dots_cover_no_other(tmp_path: Path) -> None:
    """Steps of equal figures lie on each other: one of them is named there, all in the table below."""
    steps = ("channels_last", "tcmalloc", "compile")
    slow = [benchmark(step, medians_s=(0.2,) * 3) for step in steps]
    save(tmp_path, 1, saved_run([benchmark("openvino", medians_s=(0.05,) * 3), *slow]))

    front = page(tmp_path).one("section", id="front")

    assert 1 == len(front.all("text", class_="beaten"))
    assert all(step in front.one("details", class_="beaten").text for step in steps)


def test_nothing_is_to_choose_from_where_all_steps_were_disturbed(tmp_path: Path) -> None:
    """It is said with the reason, and neither a drawing nor a table stands there empty; another model of the run has both."""
    steps = [benchmark(step, disturbed=True) for step in ("baseline", "compile")]
    save(tmp_path, 1, saved_run(steps))
    save(tmp_path, 2, saved_run([*steps, *ladder("baseline", "compile", model="vit")]))

    alone, beside = (page(tmp_path, run).one("section", id="front") for run in ("1", "2"))

    reason = "None of 2 steps to choose from: all of them were disturbed by other processes while they were measured."
    assert reason in alone.text
    assert "the ones to choose from" not in alone.text
    assert [] == alone.all("svg", "table")
    assert reason in beside.text
    assert "the ones to choose from" in beside.text
    assert 1 == len(beside.all("svg"))
    assert 2 == len(beside.all("table")), "of the steps to choose from, and of those that they beat"


def test_few_calls_are_counted_below_their_slowest(tmp_path: Path) -> None:
    """On a line of its own, so that the column stays narrow."""
    save(tmp_path, 1, saved_run([benchmark(**calls(0.074, 21))]))

    [cell] = [cell for cell in page(tmp_path).one("table", class_="ladder").all("td") if cell.text.startswith("74.0")]

    assert "74.0 max of 21" == cell.text
    assert 1 == len(cell.all("br"))


def test_machine_without_a_price_has_no_cost(tmp_path: Path) -> None:
    save(tmp_path, 1, saved_run([benchmark("baseline", medians_s=(0.1,), samples=1)], fingerprint=FINGERPRINT | {"instance_type": ""}))
    shown = page(tmp_path, "latest")

    assert not shown.all("section", id="cost")
    assert "million" not in shown.one("div", class_="answer").text


def test_price_that_is_asked_for_and_unknown_exits_2(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["page", "--storage", str(storage), "--out", str(storage / "x.html"), "--region", "eu-west-1"])
    assert "no price of c8g.xlarge in region eu-west-1" in capsys.readouterr().err


def test_cost_is_that_of_the_last_run_where_two_have_one_number(tmp_path: Path) -> None:
    """A fleet's runs all begin at 1. 3.6 an hour are 0.001 a second: at 100 samples per second a million cost 10."""
    for folder, seconds in (("a", 0.1), ("b", 0.01)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder, 1, saved_run([benchmark("baseline", medians_s=(seconds,), samples=1)]))
    files = [str(next((tmp_path / folder).rglob("*.json"))) for folder in "ab"]

    found = page(tmp_path, *files, "--price", "3.6").one("section", id="cost")

    assert "3.6 an hour" in found.text
    assert "10.00" in found.text
    assert "100.00" not in found.text


def test_what_was_slower_is_marked_and_the_best_says_what_it_leaves_out(tmp_path: Path) -> None:
    """With the reason, beside what the best stands on; INT8 over the best floating point of its runtime stands below."""
    gain = {"over": "baseline", "ratio": 0.56, "low": 0.53, "high": 0.59, "verdict": "slower"}
    why = "44 % slower than baseline"
    medians: dict[str, Any] = {"medians_s": (0.1, 0.1, 0.1), "over": "baseline", "over_medians_s": (0.2, 0.2, 0.2)}
    slower = benchmark("bf16_autocast", medians_s=(0.36,) * 3, gain=gain, decision={"kept": False, "gain": gain})
    compiled = benchmark("openvino_fp32", runtime="openvino", precision="fp32", left_out=["bf16_autocast"], **medians)
    int8: dict[str, Any] = {"over": "openvino_fp32", "over_medians_s": (0.1, 0.1, 0.1), "runtime": "openvino", "precision": "int8"}
    best = benchmark("openvino_int8", medians_s=(0.05,) * 3, left_out=["bf16_autocast"], left_out_reasons={"bf16_autocast": why}, **int8)
    save(tmp_path, 1, saved_run([benchmark("baseline", medians_s=(0.2, 0.2, 0.2)), slower, compiled, best]))

    text = " ".join(page(tmp_path).text.split())

    assert f"Left out of it here: bf16_autocast ({why})." in text
    assert "INT8 over the best floating point of its own runtime: openvino_int8 +100.0 %" in text
    assert "left out above" in text
    assert f"bf16_autocast: {why}" in text
