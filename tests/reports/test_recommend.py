"""Which recipe is recommended, why, and what rules others out."""

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures.steps.optimizations import ON_DEMAND
from reports.__main__ import main
from reports.deploy.texts import figures, recommendation_data, why
from reports.statistics import mean_interval, process_interval
from reports.text.metric_limit import metric_limit_of
from reports.views.recommend import NOT_SERVED, DeploymentLimits, NothingToRecommend, recommend
from tests.reports.saved_runs import benchmark, calls, labelled, measured, metric, outcome, save, saved_run

FAST = benchmark("openvino_int8", medians_s=(0.040, 0.041, 0.042), latency_p99_s=0.090, cosine=0.991)
EXACT = benchmark("openvino", medians_s=(0.080, 0.081, 0.082), latency_p99_s=0.085, cosine=0.9999)
SLOW = benchmark("baseline", medians_s=(0.300, 0.310, 0.320), latency_p99_s=0.320, cosine=1.0)


def test_the_fastest_wins_without_limits() -> None:
    found = recommend(measured(SLOW, FAST, EXACT), "resnet50", DeploymentLimits())

    assert ("openvino_int8", ["openvino", "baseline"]) == (found.winner.step, [each.step for each in found.others])
    assert () == found.ruled_out
    assert found.lead == pytest.approx(81 / 41)


def test_training_and_several_hosts_are_no_recipes_to_deploy() -> None:
    """However many samples per second they had."""
    others = (benchmark(f"{family}_step", medians_s=(0.001, 0.001), family=family) for family in NOT_SERVED)

    assert recommend(measured(SLOW, FAST, EXACT), "resnet50", DeploymentLimits()) == recommend(
        measured(SLOW, FAST, EXACT, *others), "resnet50", DeploymentLimits()
    )


def test_each_limit_rules_out_by_name() -> None:
    found = recommend(measured(FAST, EXACT, SLOW), "resnet50", DeploymentLimits(p99_s=0.1, cosine=0.999))

    assert "openvino" == found.winner.step
    assert {"openvino_int8": "cosine 0.9910, limit 0.999", "baseline": "p99 320 ms, limit 100 ms"} == {
        each.step: each.broken for each in found.ruled_out
    }


def test_a_loss_of_labelled_accuracy_rules_out_and_so_does_its_absence() -> None:
    """The fastest loses 1.5 points; one on the limit keeps it; what nobody measured keeps none."""
    fast = benchmark("openvino_int8", medians_s=(0.040, 0.041, 0.042), **labelled(3))
    exact = benchmark("openvino", medians_s=(0.080, 0.081, 0.082), **labelled(1))
    unknown = benchmark("mystery", medians_s=(0.01, 0.01, 0.01))
    recipes = measured(fast, exact, unknown)

    found = recommend(recipes, "resnet50", DeploymentLimits(accuracy_loss_points=0.5))
    assert "openvino" == found.winner.step
    assert {
        "openvino_int8": "88.5 % top-1, -1.5 points [-2.5, -0.5], limit 0.5 points lost",
        "mystery": "no labelled accuracy (measure with --accuracy), limit 0.5 points lost",
    } == {each.step: each.broken for each in found.ruled_out}
    with pytest.raises(NothingToRecommend, match=r"the least loss of accuracy 0\.5 points \(openvino\)"):
        recommend(recipes, "resnet50", DeploymentLimits(accuracy_loss_points=0.4))


def evaluated(perplexity: float, f1: float) -> dict[str, Any]:
    """A perplexity of 20 and an F1 of 0.9 with fp32, and what a step makes of them."""
    return {"metrics": [metric("perplexity", perplexity, 20.0), metric("f1", f1, 0.9)]}


def test_a_metric_beyond_its_limit_rules_out_and_so_does_its_absence() -> None:
    """The fastest is worse by the perplexity, the next by the F1; one on both limits keeps them."""
    fast = benchmark("openvino_int8", medians_s=(0.040, 0.041, 0.042), **evaluated(20.5, 0.95))
    mixed = benchmark("openvino_int8_mixed", medians_s=(0.060, 0.061, 0.062), **evaluated(19.0, 0.88))
    exact = benchmark("openvino", medians_s=(0.080, 0.081, 0.082), **evaluated(20.2, 0.89))
    recipes = measured(fast, mixed, exact, benchmark("mystery", medians_s=(0.01, 0.01, 0.01)))
    limits = DeploymentLimits(metrics=(metric_limit_of("perplexity=+1%"), metric_limit_of("f1=-0.01")))

    found = recommend(recipes, "resnet50", limits)
    assert "openvino" == found.winner.step
    assert {
        "openvino_int8": "perplexity 20.5, +0.5 [+0.4, +0.6] to fp32 eager's 20, limit +1 %",
        "openvino_int8_mixed": "f1 0.88, -0.02 [-0.12, +0.08] to fp32 eager's 0.9, limit -0.01",
        "mystery": "no perplexity (measure with --accuracy FILE.txt), limit +1 %; no f1 (measure with --evaluate), limit -0.01",
    } == {each.step: each.broken for each in found.ruled_out}
    assert "recipes within perplexity +1 % and f1 -0.01, of 4 measured" in why(found)
    assert ["perplexity", "f1"] == [each.name for each in found.winner.measurement.metrics]
    assert found.winner.measurement.metrics == recommendation_data(found)["winner"]["metrics"]  # type: ignore[index]
    with pytest.raises(NothingToRecommend, match=r"the best change of perplexity -1 \(openvino_int8_mixed\)"):
        recommend(recipes, "resnet50", DeploymentLimits(metrics=(metric_limit_of("perplexity=+0"), metric_limit_of("f1=-0"))))


def test_a_search_is_not_misled_by_answers_that_nobody_measured() -> None:
    """A ladder without them rules out what drifts, and nothing by accuracy or a metric."""
    [drifted] = measured(benchmark("openvino_int8", sqnr_db=12.0))
    [lossy] = measured(benchmark("openvino_int8", sqnr_db=30.0, **labelled(3)))
    [unknown] = measured(benchmark("openvino", sqnr_db=30.0))
    limits = DeploymentLimits(p99_s=1e-9, sqnr_db=20.0, accuracy_loss_points=0.5, metrics=(metric_limit_of("f1=-0.01"),))

    assert "12.0 dB" in limits.outputs_refuted_by(drifted)
    assert "points lost" in limits.outputs_refuted_by(lossy)
    assert "" == limits.outputs_refuted_by(unknown)
    assert "no labelled accuracy" in limits.of_outputs.broken_by(unknown)


def test_the_recommendation_names_a_limit_of_accuracy() -> None:
    exact = benchmark("openvino", medians_s=(0.080, 0.081, 0.082), **labelled(1))
    found = recommend(measured(exact), "resnet50", DeploymentLimits(p99_s=0.1, accuracy_loss_points=0.5))
    assert "recipes within p99 100 ms and 0.5 points of top-1 lost, of 1 measured" in why(found)
    limits = recommendation_data(found)["limits"]
    assert isinstance(limits, dict)
    assert {"p99_s": 0.1, "accuracy_loss_points": 0.5} == {name: value for name, value in limits.items() if value}
    assert "no limit was given" in why(recommend(measured(exact), "resnet50", DeploymentLimits()))


def test_a_figure_on_the_limit_keeps_it_and_a_missing_one_does_not() -> None:
    unknown = benchmark("mystery", medians_s=(0.01, 0.01, 0.01), latency_p99_s=None, cosine=None)

    found = recommend(measured(EXACT, unknown), "resnet50", DeploymentLimits(p99_s=0.085, cosine=0.9999))

    assert "openvino" == found.winner.step
    assert ["p99 - ms, limit 85.0 ms; cosine -, limit 0.9999"] == [each.broken for each in found.ruled_out]


def test_a_p99_of_few_calls_keeps_no_limit_and_the_number_that_would_is_told() -> None:
    """However far below it is: of 27 calls the slowest is below the true p99 in three of four runs."""
    few = benchmark("few", medians_s=(0.01, 0.01, 0.01), **calls(0.02, samples=27))

    found = recommend(measured(EXACT, few), "resnet50", DeploymentLimits(p99_s=0.1))
    assert "openvino" == found.winner.step
    assert ["at most 20.0 ms in 27 calls, limit 100 ms: not shown to be kept; 299 calls are needed"] == [
        each.broken for each in found.ruled_out
    ]
    with pytest.raises(NothingToRecommend, match=r"is shown to keep the limits: the fastest that may is 'few'.*reports tune"):
        recommend(measured(few), "resnet50", DeploymentLimits(p99_s=0.1))
    assert "few" == recommend(measured(EXACT, few), "resnet50", DeploymentLimits()).winner.step


def test_many_calls_keep_a_limit_by_their_upper_bound_alone() -> None:
    """The p99 is within the limit, and might be by luck."""
    near = benchmark("near", **(calls(0.09, samples=500) | {"latency_p99_high_s": 0.11}))
    over = benchmark("over", **(calls(0.09, samples=60) | {"latency_p99_low_s": 0.105}))
    [near_measured, over_measured] = measured(near, over)

    expected = "p99 90.0 ms, limit 100 ms: not shown to be kept; its 500 calls show at most 110 ms"
    assert expected == DeploymentLimits(p99_s=0.1).broken_by(near_measured)
    assert ("", True) == (DeploymentLimits(p99_s=0.1).refuted_by(near_measured), DeploymentLimits(p99_s=0.1).leaves_open(near_measured))
    assert "" == DeploymentLimits(p99_s=0.11).broken_by(near_measured)
    assert "at most 90.0 ms in 60 calls, limit 100 ms" == DeploymentLimits(p99_s=0.1).refuted_by(over_measured)


def test_runs_that_counted_no_calls_keep_no_limit_of_a_p99() -> None:
    old = benchmark("old", latency_p99_s=0.05, latency_samples=None, latency_max_s=None, latency_p99_low_s=None, latency_p99_high_s=None)
    [read] = measured(old)

    expected = "p99 50.0 ms, limit 100 ms: not shown to be kept, as the run does not say of how many calls it is"
    assert expected == DeploymentLimits(p99_s=0.1).broken_by(read)
    assert "p99 50.0 ms, limit 40.0 ms" == DeploymentLimits(p99_s=0.04).refuted_by(read)


def test_nothing_within_the_limits_says_what_came_nearest() -> None:
    with pytest.raises(NothingToRecommend) as refused:
        recommend(measured(FAST, EXACT, SLOW), "resnet50", DeploymentLimits(p99_s=0.001, cosine=0.99))

    for part in ("fastest, 'openvino_int8', has p99 90.0 ms", "lowest p99 is 85.0 ms (openvino)", "python -m reports tune"):
        assert part in str(refused.value)


def test_what_others_disturbed_did_not_come_nearest() -> None:
    """Its figures stand for nothing, however good they look."""
    disturbed = benchmark("compile", medians_s=(0.01,) * 3, disturbed=True)
    with pytest.raises(NothingToRecommend, match=r"the fastest, 'openvino', has p99 85\.0 ms.*; the lowest p99 is 85\.0 ms \(openvino\)"):
        recommend(measured(disturbed, EXACT, SLOW), "resnet50", DeploymentLimits(p99_s=0.001))


def test_recipes_that_are_not_shown_to_be_slower_are_marked() -> None:
    """By processes whose intervals tell them apart; of one process by more than the usual spread between processes."""
    near = benchmark("near", medians_s=(0.040, 0.042, 0.0425))
    one_near, one_far = benchmark("one_near", medians_s=(0.045,)), benchmark("one_far", medians_s=(0.060,))

    found = recommend(measured(FAST, EXACT, near, one_near, one_far), "resnet50", DeploymentLimits())

    assert {"openvino": False, "near": True, "one_near": True, "one_far": False} == {each.step: each.unresolved for each in found.others}


def test_the_interval_beside_a_throughput_is_that_of_its_processes_means() -> None:
    """A slow tail moves the mean, not the median; by medians, also of turns as a predecessor, recipes are told apart.

    For 89, 90, 91 and t(0.975, 2) = 4.303 it is 90 times or over e**(4.303 * 0.0111 / sqrt(3)).
    """
    pairs = [{"own_median_s": 8 / 100, "own_mean_s": 8 / sps} for sps in (89, 90, 91)]
    tailed = benchmark("compile", pairs=pairs, samples_per_second=90.0)
    above = benchmark("freezing", medians_s=(0.2,), over="compile", over_medians_s=(8 / 110,))
    winner = recommend(measured(tailed, above), "resnet50", DeploymentLimits()).winner

    assert figures(winner).startswith("90.0 [87.5, 92.5] samples per second")
    assert pytest.approx((100, 100, 100, 110)) == winner.processes


@pytest.mark.parametrize(
    ("family", "how"),
    [
        ("hosts", "on several hosts together"),
        ("cpu_training", "in training"),
        ("xla_training", "in training"),
        ("variable_lengths", "on texts whose lengths vary"),
    ],
)
def test_a_model_that_no_folder_serves_is_said_to_be_measured_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str, how: str
) -> None:
    """By name, or as the only one of the run; beside a model that is served it is not meant."""
    other = benchmark("step", model="other", family=family)
    save(tmp_path, 1, saved_run([other]))
    save(tmp_path, 2, saved_run([other, EXACT]))

    for words, action in (
        (["1"], "measure its ladder with `pytest benchmarks/"),
        (["2", "--model", "other"], "it has resnet50: name one of them with --model"),
    ):
        assert 2 == main(["recommend", *words, "--storage", str(tmp_path)])
        assert f"model 'other' was measured {how}, which no folder serves; {action}" in capsys.readouterr().err
    assert 0 == main(["recommend", "2", "--storage", str(tmp_path)])
    assert "resnet50, run 0002: deploy openvino" in capsys.readouterr().out


def test_a_fresh_process_is_expected_where_processes_were_seen() -> None:
    """A prediction interval: for 90, 100, 110 and t(0.975, 2) = 4.303 it is 100 times or over e**(4.303 * s * sqrt(4/3))."""
    low, high = process_interval((90.0, 100.0, 110.0))

    assert (60.3, 163.5) == pytest.approx((low, high), rel=0.005)
    for interval in (mean_interval, process_interval):
        with pytest.raises(ValueError, match="two values"):
            interval((1.0,))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    save(tmp_path, 1, saved_run([FAST, EXACT, SLOW, benchmark("baseline", model="vit", model_name="timm:VisionTransformer")]))
    return tmp_path


def test_the_command_says_what_to_deploy_and_why(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["recommend", "1", "--model", "resnet50", "--max-p99-ms", "100", "--storage", str(storage)])

    shown = " ".join(capsys.readouterr().out.split())
    for part in ("deploy openvino_int8", "fastest of the 2 recipes within p99 100 ms", "ruled out: baseline", "p99 320 ms, limit 100 ms"):
        assert part in shown


def test_the_command_gives_json(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["recommend", "--model", "resnet50", "--min-cosine", "0.999", "--format", "json", "--storage", str(storage)])

    shown = json.loads(capsys.readouterr().out)
    assert ("openvino", ["openvino_int8"]) == (shown["winner"]["step"], [each["step"] for each in shown["ruled_out"]])


def test_steps_can_be_named(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = ["--step", "openvino", "--step", "baseline"]
    assert 0 == main(["recommend", "--model", "resnet50", *steps, "--storage", str(storage)])
    assert "deploy openvino," in capsys.readouterr().out


@pytest.mark.parametrize("name", ["vit", "timm:VisionTransformer"])
def test_a_model_is_meant_by_its_id_or_its_name(storage: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert 0 == main(["recommend", "1", "--model", name, "--storage", str(storage)])
    assert "deploy baseline" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "has 2 models (resnet50, vit): name one with --model"),
        (["--model", "vit", "--step", "nope"], "no measurement of step 'nope': expected one of baseline, openvino"),
        (["--model", "bert"], "has no measurement of model 'bert'"),
        (["--model", "vit", "--max-p99-ms", "0.001"], "the lowest p99 is"),
    ],
)
def test_errors_are_one_paragraph(storage: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    assert 2 == main(["recommend", "1", *arguments, "--storage", str(storage)])

    shown = capsys.readouterr()
    assert "" == shown.out
    assert reason in shown.err
    assert 1 == len(shown.err.splitlines())


@pytest.mark.parametrize("words", [[], ["--model", "resnet50"], ["--step", "compile"]])
def test_a_run_without_any_measurement_says_how_to_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    save(tmp_path, 1, saved_run([], outcomes=[outcome("compile", "failed", "g++ is missing")]))

    assert 2 == main(["recommend", *words, "--storage", str(tmp_path)])
    assert "run 0001 holds no measured step, so there is no recipe to recommend: measure its ladder with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-p99-ms", "0"],
        ["--max-p99-ms", "nan"],
        ["--min-cosine", "1.1"],
        ["--min-cosine", "x"],
        ["--max-accuracy-loss", "101"],
        ["--metric-limit", "f1=1"],
    ],
)
def test_a_limit_that_is_none_is_refused(storage: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["recommend", "1", "--model", "vit", *arguments, "--storage", str(storage)])
    assert 2 == ended.value.code


def test_families_that_are_not_served_are_known_to_the_catalogue() -> None:
    """A family that is renamed must be renamed here."""
    assert NOT_SERVED <= ON_DEMAND


def test_what_the_recipe_leaves_out_is_told_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasons = {"bf16_autocast": "44 % slower than channels_last", "tcmalloc": "skipped: libtcmalloc is not installed"}
    winner = benchmark("compile", medians_s=(0.02, 0.021), left_out=list(reasons), left_out_reasons=reasons)
    save(tmp_path, 1, saved_run([SLOW, winner]))

    assert 0 == main(["recommend", "--storage", str(tmp_path)])
    assert (
        "Its recipe leaves out bf16_autocast (44 % slower than channels_last), tcmalloc (skipped: libtcmalloc is not installed)."
        in " ".join(capsys.readouterr().out.split())
    )
    assert 0 == main(["recommend", "--storage", str(tmp_path), "--format", "json"])
    assert reasons == json.loads(capsys.readouterr().out)["left_out"]
