"""Options: bad ones are refused in one sentence, renamed ones are still understood."""

import argparse
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from _pytest.config import _prepareconfig

from fixtures import measure, plugin
from fixtures.bench.launch import ROOT
from fixtures.models.preprocessing import PicturesError, calibration_pictures
from fixtures.session.journal import Finished
from fixtures.session.options import described, read_options
from reports.__main__ import command_parser
from reports.commands import MODULE


@pytest.mark.parametrize(
    ("typed", "now", "dest", "value"),
    [
        (["--calibration", "pictures"], "--int8-images", "int8_images", Path("pictures")),
        (["--no-calibration"], "--no-peaks", "no_peaks", True),
        (["--models", "torchbench", "--models", "huggingface"], "--set", "set", ["torchbench", "huggingface"]),
    ],
)
@pytest.mark.parametrize("prefix", ["", "ladder-"])
def test_former_option_of_pytest(
    typed: list[str], now: str, dest: str, value: object, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    described().register(cast("pytest.OptionGroup", SimpleNamespace(addoption=parser.add_argument)), prefix)
    old, new = typed[0].replace("--", f"--{prefix}"), now.replace("--", f"--{prefix}")
    found: dict[str, Any] = vars(parser.parse_args([each.replace("--", f"--{prefix}") for each in typed]))

    assert value == found[dest]
    assert f"note: {old} is now called {new}" in capsys.readouterr().err
    assert old not in parser.format_help().split()


@pytest.mark.parametrize(
    ("command", "now", "dest"),
    [("tune --model vit", "--int8-images", "int8_images"), ("roofline", "--peaks", "peaks"), ("page", "--peaks", "peaks")],
)
def test_former_option_of_a_command(command: str, now: str, dest: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = command_parser(MODULE).parse_args([*command.split(), "--calibration", "x"])

    assert Path("x") == getattr(found, dest) == getattr(command_parser(MODULE).parse_args([*command.split(), now, "x"]), dest)
    assert f"note: --calibration is now called {now}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "resnet5"], "unknown model 'resnet5': expected one of resnet50, vit; SOURCE:NAME"),
        (["--set", "imagenet"], "argument --set: invalid choice: 'imagenet' (choose from"),
        (["--grid", "128"], "--grid 128: expected TOKENSxBATCH, for example 128x8, or whole"),
        (["--lengths", "16:0.5"], "--lengths 16:0.5: the shares sum to 0.5, expected 1; let them sum to 1"),
        (["--lengths", "/no/such.txt"], "--lengths /no/such.txt: no file of lengths can be read there"),
        (["--lengths", "16:1", "--model", "vit"], "--lengths is for text models of transformers, and vit is none"),
        (["--sequence-length", "0"], "argument --sequence-length: expected a whole number of at least 1, found '0'"),
        (["--model", "a/served.py:create", "--model", "b/served.py:create"], "another model has the id served.create already"),
        (["--step", "bf16"], "unknown step 'bf16': expected one of baseline, batch_2,"),
        (["--batch-size", "0"], "argument --batch-size: expected a whole number of at least 1, found '0'"),
        (["--batch-size", "eight"], "argument --batch-size: expected a whole number of at least 1, found 'eight'"),
        (["--pairs", "-1"], "argument --pairs: expected a whole number of at least 1, found '-1'"),
        (["--budget", "ten"], "argument --budget: expected a duration such as 90s, 20m or 1h30m, found 'ten'"),
        (["--budget", "9" * 20 + "h"], "argument --budget: expected a duration of at most 8784h, found '99999999999999999999h'"),
        (["--budget", "10m", "--pairs", "2"], "--budget decides how many pairs a step gets, and --pairs gives their number"),
        (
            ["--image-size", "320*240"],
            "argument --image-size: expected 1 to 99999 pixels: 224 for squares, or HEIGHTxWIDTH such as 240x320, the height first, "
            "found '320*240'",
        ),
        (["--image-channels", "0"], "argument --image-channels: expected a whole number of at least 1, found '0'"),
        (["--threads", "4096"], "--threads 4096: this process may use"),
        (["--memory-limit", "0"], "argument --memory-limit: expected a number above 0, found '0'"),
        (["--memory-limit", "1e300"], "argument --memory-limit: expected at most 1073741824, found '1e300'"),
        (["--worker-timeout", "1e18"], "argument --worker-timeout: expected at most 31622400, found '1e18'"),
        (["--worker-timeout", "nan"], "argument --worker-timeout: expected a number above 0, found 'nan'"),
        (
            ["--model", "vit", "--weights", "/no/such.pth"],
            "--weights '/no/such.pth': there is no file '/no/such.pth'; name one that exists",
        ),
        (["--model", "vit", "--model", "resnet50", "--weights", __file__], "--weights belongs to one model: name it with --model"),
        (["--proofs", "/no/such/proofs.json"], "--proofs '/no/such/proofs.json': there is no folder '/no/such'; make it first"),
        (["--model", "vit", "--preprocess", "0.5,0.5,256"], "--preprocess is for pictures: name labelled ones with --accuracy DIR, or"),
        (
            ["--generation", "decode-8x1", "--model", "transformers:gpt2", "--accuracy", __file__ + ".txt"],
            "--accuracy has no effect on text generation: leave it out here",
        ),
        (
            ["--lengths", "8:1", "--model", "transformers:bert", "--int8-texts", __file__],
            "--int8-texts has no effect on texts whose lengths vary",
        ),
        (["--grid", "128x8", "--sequence-length", "512"], "--sequence-length has no effect where points name their tokens: leave it out"),
        (["--generation", "decode-8x1", "--batch-size", "2"], "--batch-size has no effect where points name their batch: leave it out"),
        (["--model", "vit", "--evaluate", "mine.py:f1"], "--evaluate is a metric of labelled samples: name pictures with --accuracy DIR"),
        (
            ["--model", "vit", "--max-accuracy-loss", "1"],
            "--max-accuracy-loss is a limit on labelled pictures: name them with --accuracy DIR",
        ),
        (["--model", "vit", "--metric-limit", "f1=-0.1"], "--metric-limit f1: no metric of this name is measured; name its function with"),
        (["--model", "vit", "--metric-limit", "f1=0.1"], "argument --metric-limit: expected NAME=-CHANGE where less is worse"),
        (["--model", "served.py:create", "--evaluate", "mine:f1"], "--evaluate 'mine:f1': expected FILE.py:FUNCTION"),
        (["--model", "transformers:gpt2", "--accuracy", "/no/such.txt"], "--accuracy '/no/such.txt' cannot be read as text in UTF-8"),
        (["--proofs", "proofs.json", "--quick"], "--proofs times nothing, so --quick has nothing to work with"),
        (["--model", "vit", "--int8-texts", "x.txt"], "--int8-texts calibrates language models, and vit takes images"),
        (["--int8-texts", "x.txt"], "--int8-texts calibrates language models, and resnet50 takes images"),
        (["--model", "transformers:bert", "--int8-texts", "/no/x.txt"], "--int8-texts '/no/x.txt' cannot be read as text in UTF-8"),
        (["--int8-images", str(ROOT), "--int8-texts", "x.txt"], "--int8-images are for models that take images, and --int8-texts for"),
        (
            ["--int8-images", "/no/such/folder"],
            "--int8-images '/no/such/folder': there is no folder '/no/such/folder'; name one with pictures",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_options_are_refused(options: list[str], message: str) -> None:
    """One sentence that names the option, what was found and what is expected."""
    asked = [str(ROOT / "benchmarks"), "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *options]
    with pytest.raises(pytest.UsageError, match=re.escape(message)):
        read(asked)


def read(arguments: list[str]) -> None:
    """Read the options as a run of pytest does, and close what pytest opens to capture output."""
    config = _prepareconfig(arguments)
    try:
        read_options(config)
    finally:
        config._ensure_unconfigure()


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Before anything is measured; as root a file of the kernel's stands for one without rights."""
    (tmp_path / "0.png").symlink_to("/proc/self/mem")
    with pytest.raises(PicturesError, match=rf"^--int8-images '{tmp_path}': {tmp_path}/0\.png cannot be read \(.+\); remove it, or name"):
        calibration_pictures(tmp_path)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([("a/served.py:create", "baseline"), ("b/served.py:create", "baseline")], "another model has the id served.create already"),
        ([("vit", "openvino"), ("resnet50", "openvino"), ("vit", "openvino")], "2 tests measure openvino on vit, of which a run keeps one"),
    ],
)
def test_tests_whose_records_could_not_be_told_apart_are_refused(points: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(pytest.UsageError, match=message):
        plugin._refuse_ambiguous(points)


@pytest.mark.parametrize(("prefix", "named"), [("", " --profile records"), ("ladder-", " --ladder-profile records")])
def test_a_profile_of_the_waiting_process_is_refused(monkeypatch: pytest.MonkeyPatch, prefix: str, named: str) -> None:
    """Its calls would be rounds of a further pair, and count in the figures; only a run that measures steps is refused."""
    monkeypatch.setattr(plugin, "option_prefix", lambda: prefix)
    monkeypatch.setattr(plugin, "OURS", ["--profile"])
    config: Any = SimpleNamespace(getoption=lambda name: "tottime" if name == "benchmark_cprofile" else None)

    plugin.pytest_collection_finish(cast("pytest.Session", SimpleNamespace(config=config, items=[])))
    step = SimpleNamespace(callspec=SimpleNamespace(params={"model": "vit", "step": "baseline"}))
    with pytest.raises(pytest.UsageError, match=r"^--benchmark-cprofile profiles this process, which only waits") as refused:
        plugin.pytest_collection_finish(cast("pytest.Session", SimpleNamespace(config=config, items=[step])))
    assert named in str(refused.value)


@pytest.mark.parametrize(("kept", "asked", "replayed"), [({}, False, True), ({}, True, False), ({"profile": {"x": 1}}, True, True)])
def test_a_record_whose_profile_was_interrupted_is_measured_again(kept: dict[str, object], asked: bool, replayed: bool) -> None:
    """It would stand in the resumed run without a profile and without a word."""
    finished = Finished(nodeid="test", rounds_s=[1.0], extra_info={"profile": None, "profile_failure": "", **kept})
    session = SimpleNamespace(journal=SimpleNamespace(found={"test": finished}))
    task: Any = SimpleNamespace(session=session, nodeid="test", profiles=Path("traces") if asked else None)

    assert replayed == (measure._finished(task) is finished)
