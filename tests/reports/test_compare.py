"""Comparing two runs: ratios, what changed, what only one side has, and refusals."""

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.saved.load import read_run
from reports.saved.machines import Difference, machine_differences, machine_name, software_differences
from reports.saved.record import Measurement, Run, Throughput
from reports.saved.storage import Storage
from reports.statistics import DISTURBED
from reports.statistics.run_spread import run_spread
from reports.views.changes import changes
from reports.views.compare import Comparison, DifferentMachines, compare
from reports.views.tables.comparison import advice, chance, headline, no_ratio, one_sided_text, recipes_text
from tests.reports.saved_runs import FINGERPRINT, KERNELS, benchmark, bounds, outcome, save, saved_run

STEADY_S = (0.100, 0.101, 0.102)
SLOW_S = (0.200, 0.201, 0.202)


def run(folder: Path, number: int, *benchmarks: dict[str, Any], **saved: Any) -> Run[Measurement]:
    return read_run(save(folder, number, saved_run(benchmarks, **saved)))


def step(name: str, medians_s: tuple[float, ...] = STEADY_S, **extra_info: Any) -> dict[str, Any]:
    return benchmark(name, medians_s=medians_s, over="x", over_medians_s=medians_s, **extra_info)


def both(tmp_path: Path, base: dict[str, Any], head: dict[str, Any]) -> Comparison:
    return compare(run(tmp_path, 1, base), run(tmp_path, 2, head))


def test_half_the_throughput_is_slower_with_an_interval_around_one_half(tmp_path: Path) -> None:
    [row] = both(tmp_path, step("compile"), step("compile", SLOW_S)).compared

    low, high = bounds(row.ratio)
    assert ("slower", (3, 3)) == (row.ratio and row.ratio.verdict, row.processes)
    assert low < 0.503 < high


def test_the_headline_says_how_much_slower_and_which_kernels_changed(tmp_path: Path) -> None:
    jit = KERNELS[0] | {"implementation": "jit:bf16"}
    [row] = both(tmp_path, step("compile"), step("compile", SLOW_S, kernels=[jit, KERNELS[1]])).compared

    expected = "resnet50 compile: 50 % slower; convolution kernels went from brgconv:sve_256 bf16 to jit:bf16 bf16"
    assert expected == headline(row)


def test_equal_runs_show_no_effect_and_no_change(tmp_path: Path) -> None:
    found = both(tmp_path, step("compile", (0.1, 0.1, 0.1)), step("compile", (0.1, 0.1, 0.1)))
    [row] = found.compared

    assert row.ratio is not None
    assert ("no measurable effect", (), ()) == (row.ratio.verdict, row.changes, found.notable)


def test_one_sided_benchmarks_are_named_with_what_the_other_run_says(tmp_path: Path) -> None:
    base = run(tmp_path, 1, step("compile"), step("pt2e_int8"))
    head = run(
        tmp_path,
        2,
        step("compile"),
        step("openvino"),
        outcomes=[outcome("compile", "measured"), outcome("pt2e_int8", "failed", "no int8 kernel ran")],
    )

    assert [
        "resnet50 pt2e_int8: only in base; failed there: no int8 kernel ran",
        "resnet50 openvino: only in head; not run there",
    ] == [one_sided_text(one) for one in compare(base, head).one_sided]


def test_different_machines_are_refused_naming_each_field_and_both_values(tmp_path: Path) -> None:
    base = run(tmp_path, 1, step("compile"))
    head = run(tmp_path, 2, step("compile"), fingerprint=FINGERPRINT | {"vcpus": 8, "cpu_model": "Neoverse-V1"})

    with pytest.raises(DifferentMachines, match=r"cpu_model: base Neoverse-V2, head Neoverse-V1; vcpus: base 4, head 8.*--across-machines"):
        compare(base, head)


def test_runs_that_say_nothing_about_their_machine_are_refused(tmp_path: Path) -> None:
    silent = run(tmp_path, 1, step("compile"), fingerprint={})

    with pytest.raises(DifferentMachines, match="says nothing about its machine"):
        compare(silent, silent)


@pytest.mark.parametrize("across_machines", [False, True])
@pytest.mark.parametrize("emulated", [(True, False), (False, True), (True, True)], ids=["base", "head", "both"])
def test_emulated_cpus_are_never_compared(tmp_path: Path, emulated: tuple[bool, bool], across_machines: bool) -> None:
    """Not even by the speedups over their own baselines."""
    base, head = (
        run(tmp_path, number, step("compile"), fingerprint=FINGERPRINT | {"emulated": each}) for number, each in enumerate(emulated, 1)
    )

    with pytest.raises(DifferentMachines, match=r"emulated CPU \(Neoverse-V2\), whose times mean nothing"):
        compare(base, head, across_machines=across_machines)


def test_across_machines_speedups_over_the_own_baseline_are_compared(tmp_path: Path) -> None:
    """Head's machine is ten times as fast; compile gives 2x there and 4x here: half."""
    base = run(tmp_path, 1, step("baseline", (0.4, 0.4, 0.4)), step("compile", (0.1, 0.1, 0.1)))
    head = run(tmp_path, 2, step("baseline", (0.04, 0.04, 0.04)), step("compile", (0.02, 0.02, 0.02)), fingerprint={"vcpus": 64})

    found = compare(base, head, across_machines=True)
    baseline, compiled = found.compared
    assert baseline.ratio is None
    assert compiled.ratio is not None
    assert 0.5 == pytest.approx(compiled.ratio.ratio)
    assert "vcpus" in {difference.field for difference in found.machine}
    assert "Across machines" in advice(found)


def test_across_machines_without_a_baseline_nothing_is_claimed(tmp_path: Path) -> None:
    base, head = run(tmp_path, 1, step("compile")), run(tmp_path, 2, step("compile"), fingerprint={"vcpus": 64})

    [row] = compare(base, head, across_machines=True).compared
    assert row.ratio is None


@pytest.mark.parametrize("lowest", ["generate", "train_baseline", "xla_baseline", "lengths_padded"])
def test_across_machines_a_ladder_has_a_baseline_of_its_own(tmp_path: Path, lowest: str) -> None:
    """The lowest step of its recipes; also where one of the runs is from before recipes were saved."""
    recipes: list[dict[str, Any]] = [{"recipe": [lowest]}, {"recipe": [lowest, "above"]}]
    base = run(tmp_path, 1, step(lowest, (0.4, 0.4, 0.4), **recipes[0]), step("above", (0.1, 0.1, 0.1), **recipes[1]))
    head = run(tmp_path, 2, step(lowest, (0.04,) * 3, **recipes[0]), step("above", (0.02,) * 3, **recipes[1]), fingerprint={"vcpus": 64})
    old = run(tmp_path, 3, step(lowest, (0.4, 0.4, 0.4)), step("above", (0.1, 0.1, 0.1)))

    for found in (compare(base, head, across_machines=True), compare(old, head, across_machines=True)):
        baseline, above = found.compared
        assert (None, "the baseline of both: 1x") == (baseline.ratio, no_ratio(baseline))
        assert above.ratio is not None
        assert 0.5 == pytest.approx(above.ratio.ratio)


@pytest.mark.parametrize("disturbed", ["base", "head"])
def test_across_machines_nothing_is_called_by_a_baseline_that_others_disturbed(tmp_path: Path, disturbed: str) -> None:
    """Both speedups are over it; on one machine it is no part of another step's ratio."""
    base, head = (
        run(tmp_path, number, step("baseline", SLOW_S, disturbed=side == disturbed), step("compile", medians_s))
        for number, (side, medians_s) in enumerate((("base", SLOW_S), ("head", STEADY_S)), 1)
    )

    across, within = compare(base, head, across_machines=True), compare(base, head)
    assert [DISTURBED, "faster"] == [row.ratio.verdict for found in (across, within) for row in found.compared[1:] if row.ratio]
    assert not any(row.is_called for row in across.compared)


def test_versions_and_settings_are_changes_and_no_other_machine(tmp_path: Path) -> None:
    newer = FINGERPRINT | {"kernel": "6.13.0", "versions": FINGERPRINT["versions"] | {"torch": "2.14.0"}}
    found = compare(run(tmp_path, 1, step("compile")), run(tmp_path, 2, step("compile"), fingerprint=newer))

    assert (
        Difference("kernel", "6.12.1", "6.13.0"),
        Difference("versions.torch", "2.13.0", "2.14.0"),
    ) == found.software


def test_memory_may_differ_by_what_a_kernel_reserves() -> None:
    fingerprint = {"memory_bytes": 8_200_000_000}

    assert not machine_differences(fingerprint, {"memory_bytes": 8_100_000_000})
    assert machine_differences(fingerprint, {"memory_bytes": 16_400_000_000})
    assert not software_differences(fingerprint, {"memory_bytes": 8_100_000_000})


def test_a_run_from_before_a_field_was_recorded_is_of_the_same_machine() -> None:
    """Two that have it are told apart by it: hardware makes another machine, a compiler is what changed."""
    before, after = {"vcpus": 4}, {"vcpus": 4, "cores": 2, "governor": "performance", "builds": {"compiler": "g++ 13"}}
    other = after | {"cores": 4, "builds": {"compiler": "g++ 14"}}

    assert ((), ()) == (machine_differences(before, after), software_differences(before, after))
    assert (Difference("cores", "2", "4"),) == machine_differences(after, other)
    assert (Difference("builds.compiler", "g++ 13", "g++ 14"),) == software_differences(after, other)


def test_an_emulated_machine_is_told(tmp_path: Path) -> None:
    assert "Neoverse-V1, 2 vCPUs, emulated: its times mean nothing" == machine_name(
        {"cpu_model": "Neoverse-V1", "vcpus": 2, "emulated": True}
    )


@pytest.mark.parametrize(
    ("commits", "sides"), [("ab", "--base aaaaaaaaaaaa --head bbbbbbbbbbbb"), ("aa", "--base-python X --head-python Y")]
)
def test_the_comparison_says_that_it_is_indicative_and_points_to_the_gate(tmp_path: Path, commits: str, sides: str) -> None:
    """Between two runs of one commit environments are what can be gated."""
    base, head = (run(tmp_path, number, step("compile"), commit=each * 40) for number, each in enumerate(commits, 1))

    text = advice(compare(base, head))
    assert "as few as 3 processes a side" in text
    assert f"python -m reports gate {sides}" in text


def nights(folder: Path, count: int, spread: float) -> tuple[Run[Throughput], ...]:
    """Saved runs of one commit, each with an hour of its own that all of its processes share."""
    hours = random.Random(4)
    for number in range(1, count + 1):
        hour = math.exp(hours.gauss(0, spread))
        record = step("compile", tuple(each * hour for each in STEADY_S))
        save(folder, number, saved_run([record], saved_at=f"2026-11-{number:02}T00:00:00+00:00"))
    return Storage(str(folder)).known


def test_how_far_runs_of_the_machine_differ_is_known_from_its_saved_runs(tmp_path: Path) -> None:
    saved = nights(tmp_path, 20, 0.05)

    found = run_spread(saved, FINGERPRINT)

    assert found is not None
    assert 20 == found.runs
    assert 0.05 == pytest.approx(found.log_sd, rel=0.4)
    assert run_spread(saved[:5], FINGERPRINT) is None
    assert run_spread(saved, FINGERPRINT | {"vcpus": 64}) is None


def test_a_record_of_an_interrupted_run_is_one_of_its_machine(tmp_path: Path) -> None:
    """It is saved then, and again by the run that went on."""
    saved = nights(tmp_path, 20, 0.05)

    assert run_spread([*saved, *saved], FINGERPRINT) == run_spread(saved, FINGERPRINT)


def test_disturbed_steps_do_not_move_what_all_share(tmp_path: Path) -> None:
    """Three steps as fast as before, and three that others halved in head: the machine is as fast as before."""
    names = [f"step_{number}" for number in range(6)]
    base = run(tmp_path, 1, *map(step, names))
    head = run(tmp_path, 2, *(step(name) for name in names[:3]), *(step(name, SLOW_S, disturbed=True) for name in names[3:]))

    assert 1.0 == pytest.approx(compare(base, head).common_shift)


def test_chance_calls_nothing_that_has_no_interval(tmp_path: Path) -> None:
    """Where each side has one process there is none, and what others disturbed has no verdict."""
    one = benchmark("one", medians_s=(0.1,))
    base, head = (run(tmp_path, number, step("compile"), one, step("openvino", disturbed=True)) for number in (1, 2))

    assert "0 of 1 benchmarks are called faster or slower; by chance alone about 0.1 would be." == chance(compare(base, head))
    for nothing in (one, step("openvino", disturbed=True)):
        assert "No ratio can be called: no benchmarks are called faster or slower." == chance(both(tmp_path, nothing, nothing))


def test_other_inputs_are_no_spread_of_a_step(tmp_path: Path) -> None:
    """Nights on images of 64 and of 224 pixels by turns differ eightfold, and a step on either hardly from night to night."""
    for number in range(1, 17):
        size, faster = (64, 8) if number % 2 else (224, 1)
        record = step("compile", tuple((1 + number / 1000) * each / faster for each in STEADY_S), input_shape=[8, 3, size, size])
        save(tmp_path, number, saved_run([record], saved_at=f"2026-11-{number:02}T00:00:00+00:00"))

    found = run_spread(Storage(str(tmp_path)).known, FINGERPRINT)
    assert found is not None
    assert found.ratio < 1.1


def test_a_difference_that_unchanged_runs_have_is_told_as_such(tmp_path: Path) -> None:
    """Steady processes of two nights are 8 % apart: within the runs that is slower, between runs of this machine it is usual."""
    saved = nights(tmp_path / "saved", 20, 0.05)
    base = run(tmp_path, 1, step("compile"))
    usual, unusual = (
        run(tmp_path, number, step("compile", tuple(slow * each for each in STEADY_S))) for number, slow in ((2, 1.08), (3, 1.5))
    )

    found = compare(base, usual, saved=saved)
    assert ["slower"] == [row.ratio.verdict for row in found.compared if row.ratio]
    assert "1 of them differs by no more than unchanged runs of this machine do" in chance(found)
    assert "the intervals are within the runs" in advice(found)
    assert re.search(r"Over 20 saved runs of this machine a step spreads by \d\.\d %", advice(found))
    assert "unchanged runs" not in chance(compare(base, unusual, saved=saved))


def test_a_machine_without_history_says_so(tmp_path: Path) -> None:
    found = both(tmp_path, step("compile"), step("compile", SLOW_S))

    assert found.spread is None
    assert "is not known: 6 saved runs tell it" in advice(found)
    assert "unchanged runs" not in chance(found)


def test_the_command_says_it_and_needs_no_storage_for_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nights(tmp_path / "saved", 8, 0.05)
    files = [str(run(tmp_path, number, step("compile")).path) for number in (1, 2)]

    for storage, expected in (
        (tmp_path / "saved", "Over 8 saved runs of this machine"),
        (tmp_path / "nowhere", "is not known: 6 saved runs"),
    ):
        assert 0 == main(["compare", *files, "--storage", str(storage)])
        shown = " ".join(capsys.readouterr().out.split())
        assert expected in shown
        assert "within runs" in shown
    assert 0 == main(["compare", *files, "--storage", str(tmp_path / "saved"), "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert (8, True) == (found["spread_between_runs"]["runs"], found["compared"][0]["differs_as_runs_do"])


def test_hours_of_other_machines_say_nothing_across_machines(tmp_path: Path) -> None:
    saved = nights(tmp_path / "saved", 20, 0.05)
    base, head = run(tmp_path, 1, step("compile")), run(tmp_path, 2, step("compile"))

    assert compare(base, head, across_machines=True, saved=saved).spread is None


def test_the_throughputs_shown_are_those_of_all_processes_as_is_their_ratio(tmp_path: Path) -> None:
    def with_turns_of(baseline_s: float) -> list[dict[str, Any]]:
        as_predecessor = benchmark("compile", medians_s=STEADY_S, over="baseline", over_medians_s=(baseline_s,) * 3)
        return [benchmark("baseline", medians_s=(0.1,)), as_predecessor]

    base, head = run(tmp_path, 1, *with_turns_of(0.1)), run(tmp_path, 2, *with_turns_of(0.2))
    [baseline, _] = compare(base, head).compared
    assert baseline.ratio is not None
    assert base.measurements[0].samples_per_second == head.measurements[0].samples_per_second
    assert pytest.approx(0.5) == baseline.ratio.ratio
    assert pytest.approx(0.5) == baseline.head_sps / baseline.base_sps


def test_a_shift_common_to_all_points_to_the_machine(tmp_path: Path) -> None:
    names = ("baseline", "batch_8", "compile")
    base = run(tmp_path, 1, *(step(name) for name in names))
    head = run(tmp_path, 2, *(step(name, SLOW_S) for name in names))

    assert "The median over all is -49.8 %" in chance(compare(base, head))


def test_runs_with_nothing_in_common_are_no_error(tmp_path: Path) -> None:
    found = compare(run(tmp_path, 1, step("compile")), run(tmp_path, 2, step("openvino")))

    assert ((), 2) == (found.compared, len(found.one_sided))
    assert "nothing was compared" in advice(found)


@pytest.mark.parametrize(
    ("extra_info", "expected"),
    [
        (
            {"precision_share": {"bf16": 0.5, "f32": 0.5}},
            Difference("of reported kernel time", "bf16 96 %, f32 4 %", "bf16 50 %, f32 50 %"),
        ),
        ({"precision_share": {"bf16": 0.95, "f32": 0.05}}, None),
        ({"environment": {}}, Difference("environment DNNL_DEFAULT_FPMATH_MODE", "BF16", "unset")),
        ({"inherited_environment": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}, Difference("inherited variable ONEDNN_MAX_CPU_ISA", "unset", "AVX2")),
        ({"threads": 2}, Difference("threads", "4", "2")),
        ({"left_out": ["tcmalloc"]}, Difference("left_out", "-", "tcmalloc")),
        ({"evidence": []}, Difference("evidence (bf16 kernels)", "bf16 96 % of kernel time", "not claimed")),
        ({"evidence": [{"claim": "bf16 kernels", "observed": "bf16 91 % of kernel time", "holds": True}]}, None),
        (
            {"evidence": [{"claim": "bf16 kernels", "observed": "bf16 0 % of kernel time", "holds": True}]},
            Difference("evidence (bf16 kernels)", "bf16 96 % of kernel time", "bf16 0 % of kernel time"),
        ),
        (
            {"evidence": [{"claim": "bf16 kernels", "observed": "none", "holds": False}]},
            Difference("evidence (bf16 kernels)", "bf16 96 % of kernel time", "does not hold: none"),
        ),
        ({"kernels": []}, Difference("convolution kernels", "brgconv:sve_256 bf16", "none")),
        ({"kernels": [KERNELS[0], KERNELS[1] | {"implementation": "ref"}]}, None),
        (
            {"kernels": [KERNELS[0], KERNELS[0] | {"implementation": "ref", "time_s": 0.05}]},
            Difference("convolution kernels", "brgconv:sve_256 bf16", "brgconv:sve_256 bf16 (50 %), ref bf16 (50 %)"),
        ),
    ],
)
def test_a_change_is_told_unless_it_is_too_small_to_matter(tmp_path: Path, extra_info: dict[str, Any], expected: Difference | None) -> None:
    [before] = run(tmp_path, 1, step("compile")).measurements
    [after] = run(tmp_path, 2, step("compile", **extra_info)).measurements

    assert ((expected,) if expected else ()) == changes(before, after)


WHOLE = ["baseline", "batch_8", "channels_last", "bf16_autocast", "compile"]
WHY = "44 % slower than channels_last"


def test_recipes_that_differ_are_said_to(tmp_path: Path) -> None:
    """Head leaves out a step that was slower there: the ratio is of two recipes, and the reason stands in what changed."""
    without: dict[str, Any] = {"recipe": [step for step in WHOLE if step != "bf16_autocast"], "left_out": ["bf16_autocast"]}
    base = run(tmp_path, 1, step("compile", recipe=WHOLE))
    head = run(tmp_path, 2, step("compile", **without, left_out_reasons={"bf16_autocast": WHY}))

    found = compare(base, head)

    assert [Difference("recipe", "with bf16_autocast", f"without bf16_autocast ({WHY})")] == list(found.compared[0].changes)
    assert recipes_text(found).startswith(
        "Recipes differ: the ratios of resnet50 compile are of two recipes, not of one step in two runs "
        f"(recipe went from with bf16_autocast to without bf16_autocast ({WHY}))"
    )


def test_recipes_that_are_alike_or_unknown_are_not_said_to_differ(tmp_path: Path) -> None:
    """What was skipped on both sides, or a record without its recipe."""
    alike = compare(*(run(tmp_path, number, step("compile", recipe=WHOLE, left_out=["tcmalloc"])) for number in (1, 2)))
    unknown = compare(run(tmp_path, 3, step("compile")), run(tmp_path, 4, step("compile", recipe=WHOLE)))

    assert ["", ""] == [recipes_text(found) for found in (alike, unknown)]
    assert not alike.compared[0].changes
