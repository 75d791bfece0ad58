"""A metric of the user's own and perplexity: what a step's answers are worth, beside fp32 eager's, with a paired interval."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from fixtures import models
from fixtures.bench.answers import Answers
from fixtures.bench.rig import Rig, ServingError
from fixtures.inputs import samples
from fixtures.models import UnknownModelError
from fixtures.models.factories import create
from fixtures.models.torchvision_import import import_torchvision
from fixtures.protocol import ModelSpec
from fixtures.steps.recipe import resolve
from fixtures.tasks import metric, perplexity
from fixtures.tasks.labelled import LabelsError
from fixtures.tasks.metric import EvaluateError, MetricError, MetricLostError, compare, named
from fixtures.tasks.texts import TextsError
from reports.saved.record import SavedMetric
from reports.statistics.proportions import paired_difference
from reports.text.metric_limit import metric_limit_of
from reports.views.ladder import ladders, metric_texts
from reports.views.tables.ladder import ladder_tables
from tests.conftest import MakeRig, skip_unless_met
from tests.reports.saved_runs import measurement

SERVED = """\
import torch
from torch import nn

def create():
    torch.manual_seed(1)
    rows = torch.randn(40, 16)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)), rows, rows.sum(1)

def unlabelled():
    return create()[:2]

def short():
    return (*create()[:2], [1, 2, 3])
"""
METRICS = """\
import numpy as np
from beside_metrics import FACTOR

def error(outputs, labels):
    assert outputs.shape == (40, 4) and labels.shape == (40,)
    return FACTOR * np.abs(outputs[:, 0] - labels).mean()

def broken(outputs, labels):
    return outputs.no_such_thing
"""


def share_right(outputs: metric.Outputs, labels: np.ndarray) -> float:
    assert isinstance(outputs, np.ndarray)
    return float((outputs.argmax(axis=1) == labels).mean())


def answers(wrong: int, count: int = 200) -> np.ndarray:
    """Scores of two classes, of which the first `wrong` are wrong where all labels are 0."""
    scores = np.zeros((count, 2))
    scores[:, 0] = 1
    scores[:wrong, 1] = 2
    return scores


def test_difference_has_a_paired_interval() -> None:
    """That of a share agrees with the interval that is known for it; equal answers differ by nothing."""
    labels = np.zeros(200, dtype=int)
    lost = compare("right", share_right, answers(30), answers(10), labels)
    _, low, high = paired_difference(0, 20, 200)

    assert (0.85, 0.95, 200) == (lost.value, lost.reference, lost.samples)
    assert -0.1 == pytest.approx(lost.difference)
    assert (low, high) == pytest.approx((lost.low, lost.high), abs=0.01)
    assert SavedMetric(name="right", samples=200, value=0.95, reference=0.95, difference=0.0, low=0.0, high=0.0) == compare(
        "right", share_right, answers(10), answers(10), labels
    )


def test_metric_beyond_its_limit_is_refused() -> None:
    """With the figures and what to do; a limit on another metric has no say."""
    found = compare("right", share_right, answers(30), answers(10), np.zeros(200, dtype=int))
    metric.require(found, [metric_limit_of("right=-0.1"), metric_limit_of("error=+0")], "x", "m")

    with pytest.raises(MetricLostError, match=r"step 'x' on m: right 0\.85, -0\.1 \[.*\] to fp32 eager's 0\.95; at most -0\.09 is allowed"):
        metric.require(found, [metric_limit_of("right=-0.09")], "x", "m")


def test_resamples_of_two_sides_are_of_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """So their differences have the spread of the paired difference, as the interval beside fp32 has it."""
    labels = np.zeros(200, dtype=int)
    base, head = (metric.resampled("right", share_right, answers(wrong), labels) for wrong in (10, 30))
    differences = np.subtract(head.values, base.values)
    _, low, high = paired_difference(0, 20, 200)

    assert base.drawn == head.drawn
    assert (200, 200) == (len(base.values), len(head.values))
    assert (high - low) / 2 == pytest.approx(1.96 * differences.std(), rel=0.15)
    assert base.drawn != metric.resampled("right", share_right, answers(10), labels + 1).drawn
    assert [] == metric.resampled("fails", lambda _outputs, rows: 1 / (len({*rows}) - 1), answers(10), labels).values
    monkeypatch.setattr(metric, "RESAMPLING_S", 0.0)
    assert [] == metric.resampled("slow", share_right, answers(10), labels).values


def test_metric_of_several_outputs_has_them_by_name() -> None:
    own = metric.one(["boxes", "scores"], [np.ones((4, 2)), np.zeros(4)])
    found = compare("sum", lambda outputs, _labels: outputs["boxes"].sum(), own, own, np.zeros(4))

    assert 8.0 == found.value
    assert isinstance(metric.one(["output"], [np.ones(3)]), np.ndarray)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda _outputs, _labels: float("nan"), "the metric m is nan: mend it"),
        (lambda _outputs, _labels: "good", "the metric m fails: ValueError: could not convert string to float"),
        (lambda _outputs, _labels: None, "the metric m fails: TypeError: .*; mend it, or give other labels"),
        (lambda _outputs, _labels: 1 / 0, "the metric m fails: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_number_is_no_metric(function: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        compare("m", function, np.ones(4), np.ones(4), np.zeros(4))


def test_no_interval_where_resamples_give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that needs both classes, on four samples; and one that is too slow. The figures stand all the same."""

    def of_both(_outputs: metric.Outputs, labels: np.ndarray) -> float:
        if len(set(labels)) < 2:
            raise ValueError("one class only")
        return 1.0

    found = compare("auc", of_both, np.ones(4), np.ones(4), np.array([0, 0, 0, 1]))
    assert (1.0, None, None) == (found.value, found.low, found.high)
    assert "no interval: on a resample of the samples the metric auc fails: ValueError: one class only" in found.note
    monkeypatch.setattr(metric, "RESAMPLING_S", 0.02)
    slow = compare("slow", lambda _outputs, _labels: time.sleep(0.01) or 1.0, np.ones(4), np.ones(4), np.zeros(4))  # type: ignore[func-returns-value]

    assert slow.low is None
    assert "no interval: the metric is so slow that 0.02 s allow" in slow.note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metrics.py", r"expected FILE\.py:FUNCTION, a function of outputs and labels that returns a number"),
        ("my.module:function", r"expected FILE\.py:FUNCTION"),
        ("none.py:function", r"'.*none\.py' cannot be read \(No such file or directory\); name a file that exists"),
    ],
)
def test_metric_is_a_function_of_a_file(text: str, message: str) -> None:
    with pytest.raises(EvaluateError, match=message):
        named(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A factory with labels, metrics, and what these import."""
    for name, text in {"served.py": SERVED, "metrics.py": METRICS, "beside_metrics.py": "FACTOR = 2.0\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_digest_is_of_the_file(folder: Path) -> None:
    """So that a resumed run does not go on with another metric."""
    before = named(f"{folder}/metrics.py:error")
    (folder / "metrics.py").write_text(METRICS + "\n")

    assert (before.file, before.function) == (f"{folder}/metrics.py", "error")
    assert before.digest != named(f"{folder}/metrics.py:error").digest


@pytest.mark.parametrize(("function", "message"), [("missing", "AttributeError"), ("FACTOR", "expected a function, found float")])
def test_function_that_is_none_is_named(folder: Path, function: str, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        metric.function_of(f"{folder}/metrics.py", function)


def test_factory_returns_labels_third(folder: Path) -> None:
    """One for each row of its example; the rows are written as they are, each once, by the names of their inputs."""
    spec = ModelSpec(name=f"{folder}/served.py:create")
    metric.write_rows(spec.name, models.build(spec), folder)
    rows = metric.rows_in(folder)

    assert ["input"] == list(samples.load_named(folder / metric.ROWS))
    assert 40 == len(rows)
    np.testing.assert_allclose(rows.inputs(0, 40)[0].sum(axis=1), rows.labels, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows.inputs(38, 4)[0][2:], rows.inputs(0, 2)[0])


def test_factory_without_labels_says_how_to_give_them(folder: Path) -> None:
    spec = ModelSpec(name=f"{folder}/served.py:unlabelled")
    with pytest.raises(MetricError, match=r"--evaluate needs labels, and .* has none: name labelled pictures \(--accuracy DIR\), or let"):
        metric.write_rows(spec.name, models.build(spec), folder)
    with pytest.raises(UnknownModelError, match=r"labels that it returns third have shape \(3,\); expected one for each of the 40 rows"):
        create(f"{folder}/served.py:short")


def test_outputs_beyond_memory_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec(name=f"{folder}/served.py:create")
    metric.write_rows(spec.name, models.build(spec), folder)
    monkeypatch.setattr(metric, "MOST_BYTES", 1000)

    with pytest.raises(MetricError, match="the outputs of 16 of 40 samples are more than"):
        metric.answers(metric.rows_in(folder), 8, lambda batch: batch)


def test_ladder_shows_metrics_beside_fp32() -> None:
    found = SavedMetric(name="perplexity", samples=64, value=21.43, reference=21.31, difference=0.12, low=0.05, high=0.2)
    unsure = msgspec.structs.replace(found, name="mine", low=None, high=None, note="no interval: slow")
    [ladder] = ladders([measurement("onnxruntime_int8", metrics=msgspec.to_builtins((found, unsure)))])

    assert (
        "perplexity of 64 samples: onnxruntime_int8 21.43, +0.12 [+0.05, +0.2] to fp32 eager's 21.31",
        "mine of 64 samples: onnxruntime_int8 21.43, +0.12 to fp32 eager's 21.31 (no interval: slow)",
    ) == metric_texts(ladder)
    assert "perplexity of 64 samples" in " ".join(line.text for line in ladder_tables([ladder])[0].lines)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small causal model with a tokenizer of bytes, as `save_pretrained` leaves both; and a text of a hundred."""
    import_torchvision()
    transformers = pytest.importorskip("transformers")
    import tokenizers

    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    folder = tmp_path_factory.mktemp("language")
    torch.manual_seed(2)
    config = transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, n_positions=64, vocab_size=300, bos_token_id=0, eos_token_id=0)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder / "gpt")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder / "gpt")
    draw = np.random.default_rng(0)
    (folder / "text.txt").write_text("".join("abcdefgh "[each] for each in draw.integers(0, 9, 100)))
    return folder


def spec_of(language: Path, head: str = "") -> ModelSpec:
    return ModelSpec(name=f"transformers:{language}/gpt{head}", sequence_length=16)


def test_perplexity_is_that_of_the_models_own_loss(language: Path, tmp_path: Path) -> None:
    """A hundred tokens make six pieces of sixteen; the rest is left out."""
    spec = spec_of(language)
    model = models.build(spec)
    text = perplexity.find(language / "text.txt", 256)
    perplexity.write_pieces(spec, model, Path(text.file), text.most, tmp_path)
    perplexity.name_logits(tmp_path, ["logits"])
    rows = metric.rows_in(tmp_path)
    tokens = torch.from_numpy(rows.inputs(0, len(rows))[0])
    with torch.no_grad():
        logits: Any = model.module(tokens)
        expected = models.plain(spec)(input_ids=tokens, labels=tokens).loss

    assert (6, 16) == tuple(tokens.shape)
    assert perplexity.is_text(tmp_path)
    found = perplexity.losses(perplexity.logits_of(tmp_path, (logits.numpy(),)), tokens.numpy())
    assert float(expected.exp()) == pytest.approx(perplexity.perplexity(found, rows.labels), rel=1e-4)
    worse = compare("perplexity", perplexity.perplexity, found + np.linspace(0.1, 0.2, 6), found, rows.labels)
    other, own = (metric.resampled("perplexity", perplexity.perplexity, found, each).drawn for each in (rows.labels + 1, rows.labels))
    assert other != own, "pieces of other tokens are no pairs"
    assert worse.low is not None
    assert 0 < worse.low < worse.difference


@pytest.mark.parametrize(
    ("head", "most", "length", "message"),
    [
        ("", 1, 16, "100 tokens make 1 pieces of 16, and 2 are the least: give a longer text"),
        ("", 9, 64, "100 tokens make 1 pieces of 64, and 2 are the least"),
        (":ForSequenceClassification", 9, 16, r"and .* is none \(GPT2ForSequenceClassification\): name its head \(transformers:NAME:ForC"),
    ],
)
def test_text_that_tells_nothing_is_refused(language: Path, tmp_path: Path, head: str, most: int, length: int, message: str) -> None:
    spec = msgspec.structs.replace(spec_of(language, head), sequence_length=length)

    with pytest.raises(MetricError, match=message):
        perplexity.write_pieces(spec, models.build(spec), language / "text.txt", most, tmp_path)


def test_model_without_a_tokenizer_is_refused(language: Path, tmp_path: Path) -> None:
    """A folder with weights alone, and a model by its type."""
    spec = spec_of(language)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((language / "gpt" / "config.json").read_bytes())
    for name, message in ((f"transformers:{bare}", "has no tokenizer that can be read"), ("transformers:gpt2", "has no tokenizer: name a")):
        with pytest.raises(TextsError, match=message):
            perplexity.write_pieces(msgspec.structs.replace(spec, name=name), models.build(spec), language / "text.txt", 9, tmp_path)


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(LabelsError, match="cannot be read as text in UTF-8"):
        perplexity.find(tmp_path / "bytes.txt", 9)


def served(rig: Rig, step: str, model: ModelSpec) -> tuple[SavedMetric, ...]:
    [serving] = rig.serve(resolve(step, rig.catalogue, rig.machine), model=model)
    serving.workers.close()
    return serving.metrics


@pytest.mark.slow
def test_every_step_has_the_users_metric(make_rig: MakeRig, folder: Path) -> None:
    """The baseline is fp32 eager itself. The metric's own modules are found beside it."""
    asks = Answers(metric=named(f"{folder}/metrics.py:error"), tells_resamples=True)
    rig, model = replace(make_rig(), answers=asks), ModelSpec(name=f"{folder}/served.py:create")
    [found] = served(rig, "baseline", model)

    assert ("error", 40) == (found.name, found.samples)
    assert [0.0, 0.0, 0.0] == pytest.approx([found.difference, found.low, found.high], abs=1e-5)  # its batches are smaller
    assert 200 == len(rig.answers.resampled["baseline", rig.known(model)]["error"].values)
    built = models.build(model)
    metric.write_rows(model.name, built, folder)
    rows = metric.rows_in(folder)
    with torch.no_grad():
        outputs: Any = built.module(torch.from_numpy(rows.inputs(0, 40)[0]))
    assert 2 * np.abs(outputs[:, 0].numpy() - rows.labels).mean() == pytest.approx(found.value, rel=1e-4)


@pytest.mark.nightly
def test_a_metric_that_fails_fails_the_step(make_rig: MakeRig, folder: Path) -> None:
    """With its own reason; nothing is recorded."""
    rig = replace(make_rig(), answers=Answers(metric=named(f"{folder}/metrics.py:broken")))
    with pytest.raises(ServingError, match=r"the metric broken fails: AttributeError: .*no_such_thing.*; mend it, or give other labels"):
        served(rig, "baseline", ModelSpec(name=f"{folder}/served.py:create"))


@pytest.mark.nightly
def test_every_step_has_the_perplexity_of_a_text(make_rig: MakeRig, language: Path) -> None:
    skip_unless_met("onnxruntime")
    rig = replace(make_rig(), answers=Answers(text=perplexity.find(language / "text.txt", 64)))
    [eager] = served(rig, "baseline", spec_of(language))
    [onnx] = served(rig, "onnxruntime", spec_of(language))

    assert ("perplexity", 6) == (eager.name, eager.samples)
    assert [0.0, onnx.reference] == pytest.approx([eager.difference, eager.value], abs=1e-3)
    assert onnx.value == pytest.approx(eager.value, rel=1e-3)
