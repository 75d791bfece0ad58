"""Which recipe of a run of text generation is recommended: the one that decodes fastest within limits of its first token and of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.deploy.texts import figures, why
from reports.views.recommend import DeploymentLimits, NothingToRecommend, recommend
from tests.reports.saved_runs import benchmark, measured, save, saved_run

MODEL = "transformers:llama-150m"
DECODE = "transformers.llama-150m-decode-512x1"


def point(step: str, phase: str, tokens: int, each_s: float, *, texts: int = 1, **more: Any) -> dict[str, Any]:
    """One saved point: a token of each text, or a prompt, takes `each_s` seconds."""
    time = {"time_per_token_s": each_s} if phase == "decode" else {"time_to_first_token_s": each_s}
    record: dict[str, Any] = {"batch_size": texts, "generation": {"phase": phase, "tokens": tokens, "new_tokens": 16} | time}
    return benchmark(
        step,
        model=f"transformers.llama-150m-{phase}-{tokens}x{texts}",
        model_name=MODEL,
        family="generation",
        medians_s=(each_s, each_s, each_s),
        samples=texts if phase == "decode" else texts * tokens,
        **record | more,
    )


RECORDS = (
    point("generate", "prefill", 128, 0.30),
    point("generate", "decode", 512, 0.050),
    point("onnxruntime_generate_int4", "prefill", 16, 0.10),
    point("onnxruntime_generate_int4", "prefill", 128, 0.60),
    point("onnxruntime_generate_int4", "decode", 512, 0.020),
    point("openvino_generate", "decode", 512, 0.030),
)


def test_the_recipe_that_decodes_fastest_wins_and_tells_its_longest_prompt() -> None:
    found = recommend(measured(*RECORDS), DECODE, DeploymentLimits())

    assert ["onnxruntime_generate_int4", "openvino_generate", "generate"] == [each.step for each in (found.winner, *found.others)]
    assert "50.0 tokens per second, 20.0 ms a token behind 512, 600 ms to the first token after 128, " in figures(found.winner).replace(
        " [50.0, 50.0]", ""
    )
    assert "to the first token" not in figures(found.others[0])


def test_each_limit_rules_out_by_name_and_so_does_what_was_not_measured() -> None:
    found = recommend(measured(*RECORDS), DECODE, DeploymentLimits(first_token_s=0.4, token_s=0.06))

    assert "generate" == found.winner.step
    assert {
        "onnxruntime_generate_int4": "600 ms to the first token, limit 400 ms",
        "openvino_generate": "no time to the first token (measure with --generation prefill-128x1), limit 400 ms",
    } == {each.step: each.broken for each in found.ruled_out}
    assert "the 1 recipes within 400 ms to the first token and 60.0 ms a token, of 3 measured" in why(found)
    found = recommend(measured(*RECORDS), DECODE, DeploymentLimits(token_s=0.04))
    assert {"generate": "50.0 ms a token, limit 40.0 ms"} == {each.step: each.broken for each in found.ruled_out}
    with pytest.raises(NothingToRecommend) as refused:
        recommend(measured(*RECORDS), DECODE, DeploymentLimits(first_token_s=0.2, token_s=0.01))
    for part in ("the least time to the first token 300 ms (generate)", "the least time per token 20.0 ms (onnxruntime_generate_int4)"):
        assert part in str(refused.value)
    assert "tune" not in str(refused.value)


def test_images_have_no_tokens_in_time() -> None:
    with pytest.raises(NothingToRecommend, match=r"no time per token, limit 10\.0 ms"):
        recommend(measured(benchmark()), "resnet50", DeploymentLimits(token_s=0.01))


def test_a_disturbed_prompt_tells_nothing() -> None:
    records = (point("generate", "prefill", 128, 0.1, disturbed=True), point("generate", "decode", 512, 0.05))

    with pytest.raises(NothingToRecommend, match="no time to the first token"):
        recommend(measured(*records), DECODE, DeploymentLimits(first_token_s=1.0))


def test_a_p99_that_is_open_asks_for_more_tokens() -> None:
    record = point("generate", "decode", 512, 0.05, latency_samples=100, latency_p99_high_s=None)

    with pytest.raises(NothingToRecommend, match=r"Measure more of its tokens with `pytest benchmarks/test_generation\.py"):
        recommend(measured(record), DECODE, DeploymentLimits(p99_s=0.1))
    with pytest.raises(NothingToRecommend, match=r"no recipe of .* is within the limits"):
        recommend(measured(record), DECODE, DeploymentLimits(p99_s=0.1, token_s=0.01))


def test_the_command_means_the_deepest_point_of_one_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where none is named; a point of prompts is none to deploy."""
    others = (point("generate", "decode", 0, 0.01), point("generate", "decode", 2048, 0.09, texts=4), point("generate", "prefill", 16, 0.1))
    save(tmp_path, 1, saved_run([*RECORDS, *others]))

    for named in ([], ["--model", MODEL], ["--model", DECODE]):
        assert 0 == main(["recommend", "1", "--storage", str(tmp_path), *named])
        assert f"{DECODE}, run 0001: deploy onnxruntime_generate_int4, 50.0" in " ".join(capsys.readouterr().out.split())
    assert 0 == main(["recommend", "1", "--storage", str(tmp_path), "--model", "transformers.llama-150m-decode-2048x4"])
    assert "4 texts at once" in " ".join(capsys.readouterr().out.split())
    assert 2 == main(["recommend", "1", "--storage", str(tmp_path), "--model", "transformers.llama-150m-prefill-16x1"])
    told = "model 'transformers.llama-150m-prefill-16x1' was measured on prompts, without the tokens that follow, which no folder serves"
    assert told in capsys.readouterr().err


def test_a_run_of_text_and_images_asks_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, 1, saved_run([*RECORDS, benchmark()]))

    assert 2 == main(["recommend", "1", "--storage", str(tmp_path)])
    assert f"has 2 models ({DECODE}, resnet50): name one with --model" in capsys.readouterr().err


def test_the_command_has_both_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, 1, saved_run(RECORDS))

    limits = ["--max-ttft-ms", "400", "--max-tpot-ms", "60"]
    assert 0 == main(["recommend", "1", "--storage", str(tmp_path), "--format", "json", *limits])
    found = json.loads(capsys.readouterr().out)
    assert ("generate", 0.3, 0.05, 128) == tuple(
        found["winner"][name] for name in ("step", "time_to_first_token_s", "time_per_token_s", "prompt_tokens")
    )
    assert (0.4, 0.06) == (found["limits"]["first_token_s"], found["limits"]["token_s"])
    with pytest.raises(SystemExit):
        main(["recommend", "1", "--storage", str(tmp_path), "--max-tpot-ms", "0"])
