"""Random against trained weights: every report says which ones were measured."""

from pathlib import Path

import pytest

from reports.__main__ import main
from reports.views.weights import weights_line, weights_text
from tests.reports.saved_runs import ladder, measurement, save, saved_run

TRAINED = {"weights": "pretrained, of timm", "weights_found": "timm/resnet18.a1_in1k"}


@pytest.mark.parametrize(
    ("weights", "found", "text"),
    [
        ("random, seed 0", "", "random weights, seed 0"),
        ("pretrained, of timm", "timm/resnet18.a1_in1k", "pretrained weights, of timm (timm/resnet18.a1_in1k)"),
        ("folder 12ab", "", "weights of its folder, digest 12ab"),
        (
            "folder 12ab",
            "2 tensors drawn at random (first: x)",
            "weights of its folder, digest 12ab (2 tensors drawn at random (first: x))",
        ),
        ("those of the factory", "", "the weights of the factory"),
        ("12ab", "taken from state_dict", "weights of a file, digest 12ab (taken from state_dict)"),
        ("", "", ""),
    ],
)
def test_weights_are_told_in_words(weights: str, found: str, text: str) -> None:
    assert text == weights_text(weights, found)


def test_models_with_the_same_weights_are_told_together() -> None:
    records = [measurement(model=model, weights="random, seed 0") for model in ("a", "b", "a")]

    assert "weights: a, b: random weights, seed 0; c: pretrained weights, of timm (timm/resnet18.a1_in1k)" == weights_line(
        [*records, measurement(model="c", **TRAINED)]
    )
    assert "" == weights_line([measurement()])


@pytest.mark.parametrize(
    "command",
    [
        ["ladder"],
        ["show", "latest"],
        ["compare", "1", "2"],
        ["history"],
        ["cost", "latest", "--price", "1"],
        ["versions"],
        ["recommend"],
        ["page", "latest", "--out", "PAGE"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("is_trained", [False, True])
def test_every_report_says_which_were_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], is_trained: bool
) -> None:
    """Throughput is the same; what the outputs are worth is not."""
    weights = TRAINED if is_trained else {"weights": "random, seed 0"}
    for number in (1, 2):
        benchmarks = ladder("channels_last", "bf16_autocast")
        for each in benchmarks:
            each["extra_info"] |= weights
        save(tmp_path / "saved", number, saved_run(benchmarks))
    page = tmp_path / "page.html"
    main([*(str(page) if each == "PAGE" else each for each in command), "--storage", str(tmp_path / "saved")])
    shown = " ".join((page.read_text() if page.exists() else capsys.readouterr().out).split())

    assert ("pretrained weights, of timm (timm/resnet18.a1_in1k)" if is_trained else "random weights, seed 0") in shown
