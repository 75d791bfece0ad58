"""Texts that calibrate INT8: by the model's own tokenizer, in whole pieces, part of every artifact's key; what is none is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fixtures import models, runtimes
from fixtures.bench.rig import ServingError
from fixtures.inputs import samples
from fixtures.models import TRANSFORMERS
from fixtures.models.preprocessing import CalibrationPictures
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.recipe import resolve
from fixtures.tasks import texts
from fixtures.tasks.texts import TextsError
from reports.text.image_shape import square
from tests.conftest import MakeRig, skip_unless_met
from tests.tasks.test_metric import language, spec_of  # noqa: F401 - a fixture

CLS, SEP = 298, 299
RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Five thousand letters, of a byte each."""
    draw = np.random.default_rng(1)
    file = tmp_path / "texts.txt"
    file.write_text("".join("abcdefgh "[each] for each in draw.integers(0, 9, 5000)))
    return file


def calibrated(spec: ModelSpec, file: Path, folder: Path) -> dict[str, np.ndarray]:
    """Return the rows that the model's INT8 is calibrated with."""
    texts.write_calibration(spec, models.build(spec), file, folder)
    return samples.load_named(folder / samples.CALIBRATION)


def test_three_hundred_pieces_calibrate_where_there_are_so_many(language: Path, text: Path, tmp_path: Path) -> None:  # noqa: F811
    """In the order of the text; a rest that is no whole piece is left out."""
    [ids] = calibrated(spec_of(language), text, tmp_path).values()
    assert (300, 16) == ids.shape
    text.write_text(text.read_text()[:250])
    [few] = calibrated(spec_of(language), text, tmp_path).values()
    assert (15, 16) == few.shape
    np.testing.assert_array_equal(ids[:15], few)


def test_each_piece_has_the_special_tokens_of_a_text(language: Path, text: Path, tmp_path: Path) -> None:  # noqa: F811
    """They are what a BERT's first layers see of every text."""
    import tokenizers
    import transformers

    folder = tmp_path / "gpt"
    folder.mkdir()
    for file in (language / "gpt").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    fast: Any = transformers.PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer).save_pretrained(folder)
    [ids] = calibrated(ModelSpec(name=f"{TRANSFORMERS}:{folder}", sequence_length=16), text, tmp_path).values()

    assert ({CLS}, {SEP}) == ({*ids[:, 0]}, {*ids[:, -1]})
    assert {CLS, SEP}.isdisjoint(ids[:, 1:-1].ravel())


def test_a_tokenizer_in_python_cuts_the_whole_text() -> None:
    """It gives one piece at a time, where others give all of them: INT8 was calibrated with the first alone."""
    transformers = pytest.importorskip("transformers")
    found = texts._pieces(transformers.ByT5Tokenizer(), "abcdefgh" * 10, 16)

    assert [16] * 5 + [6] == [len(piece) for piece in found]
    assert {1} == {piece[-1] for piece in found}, "the end of a text"
    assert [letter + 3 for letter in b"abcdefgh" * 10] == [token for piece in found for token in piece[:-1]]


def test_another_tokenizer_is_another_model(language: Path) -> None:  # noqa: F811
    """So no artifact that was calibrated by the one is taken for the other."""
    spec, file = spec_of(language), language / "gpt" / "tokenizer.json"
    before, kept = models.content(spec), file.read_bytes()
    try:
        file.write_bytes(kept + b"\n")
        assert before != models.content(spec)
    finally:
        file.write_bytes(kept)


@pytest.mark.parametrize(
    ("length", "head", "message"),
    [
        (64, "", r"12 tokens are less than one piece of 64: give a longer text"),
        (8, "bert", r"has no tokenizer: name a folder that has one"),
    ],
)
def test_text_that_calibrates_nothing_is_refused(
    language: Path,  # noqa: F811
    text: Path,
    tmp_path: Path,
    length: int,
    head: str,
    message: str,
) -> None:
    text.write_text("abc abc abc ")
    spec = ModelSpec(name=f"{TRANSFORMERS}:{head or f'{language}/gpt'}", sequence_length=length)
    with pytest.raises(TextsError, match=message):
        texts.write_calibration(spec, models.build(spec_of(language)), text, tmp_path)


def test_tokens_that_the_model_does_not_know_are_refused(language: Path) -> None:  # noqa: F811
    model = models.build(spec_of(language))
    texts.require_known(spec_of(language), model, np.array([[0, 299]]))
    with pytest.raises(TextsError, match="makes tokens up to 300, its model knows 300: name a folder whose tokenizer and model belong"):
        texts.require_known(spec_of(language), model, np.array([[0, 300]]))


def test_models_that_take_no_texts_are_refused(text: Path) -> None:
    """Those of image libraries before anything is built, others by their inputs."""
    assert texts.named(None, ["resnet50"]) is None
    for name in ("resnet50", "timm:vit_tiny_patch16_224"):
        with pytest.raises(
            TextsError, match=rf"--int8-texts calibrates language models, and {name} takes images: calibrate it with pictures"
        ):
            texts.named(text, ["transformers:bert", name])
    for inputs in (None, ["pixel_values"]):
        with pytest.raises(TextsError, match="and m takes images"):
            texts.require_tokens("m", inputs)
    with pytest.raises(
        TextsError, match=r"makes tokens \(decoder_input_ids, input_ids\), and m takes query, items: leave --int8-texts out"
    ):
        texts.require_tokens("m", ["query", "items"])
    texts.require_tokens("m", ["input_ids", "decoder_input_ids"])


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, reason in (("bytes", "cannot be read as text in UTF-8"), ("none.txt", "No such file")):
        with pytest.raises(TextsError, match=rf"--int8-texts '.*{name}' .*{reason}.*name another file"):
            texts.named(tmp_path / name, ["transformers:bert"])
    with pytest.raises(TextsError, match="leave one of them out"):
        texts.named(tmp_path / "bytes", ["transformers:bert"], has_images=True)


def test_digest_is_of_the_text(text: Path) -> None:
    before = texts.named(text, ["transformers:bert"])
    text.write_text("another")
    after = texts.named(text, ["transformers:bert"])

    assert before is not None
    assert after is not None
    assert (before.file, after.file) == (str(text), str(text))
    assert before.digest != after.digest


def test_jobs_are_calibrated_with_the_rows_that_they_name(tmp_path: Path) -> None:
    """In whole batches; without them with those that were drawn for the model."""
    drawn, given = tmp_path / "drawn", tmp_path / "given"
    for folder, value in ((drawn, 0), (given, 7)):
        folder.mkdir()
        samples.save(folder, {"input_ids": np.full((8, 4), value)}, {"input_ids": np.full((6, 4), value)})
    job = Job(model=RESNET, runtime="openvino", precision="int8", batch_size=4, threads=1, inputs=str(drawn))

    for expected, asked in ((0, job), (7, msgspec.structs.replace(job, calibration_rows=str(given)))):
        batches = samples.calibration_batches(asked)
        assert [(4, 4), (4, 4)] == [batch.shape for [batch] in batches]
        assert {expected} == {value for [batch] in batches for value in batch.ravel()}


@pytest.mark.slow
def test_int8_is_calibrated_with_the_text(make_rig: MakeRig, language: Path, text: Path) -> None:  # noqa: F811
    """The digest is in the record's job and in the artifact's key; other steps read no text; images are refused before they are served."""
    skip_unless_met("onnxruntime_int8")
    spec = spec_of(language)
    given = texts.named(text, [spec.name])
    assert given is not None
    rig = replace(make_rig(), calibration=given)
    job, _, _ = rig.prepare(resolve("onnxruntime_int8", rig.catalogue, rig.machine), spec)

    assert given.digest == job.calibration_digest
    assert given.digest in str(runtimes.get("onnxruntime").artifact(job))
    assert job.calibration_rows is not None
    [ids] = samples.load_named(Path(job.calibration_rows, samples.CALIBRATION)).values()
    assert (300, 16) == ids.shape
    assert rig.prepare(resolve("baseline", rig.catalogue, rig.machine), spec)[0].calibration_rows is None
    with pytest.raises(ServingError, match="--int8-texts calibrates language models, and torchvision:resnet18 takes images"):
        rig.prepare(resolve("baseline", rig.catalogue, rig.machine), RESNET)


@pytest.mark.slow
def test_a_language_model_is_not_recorded_as_calibrated_with_pictures(make_rig: MakeRig, language: Path) -> None:  # noqa: F811
    """Where `--int8-images` is given for the other models of the run."""
    rig = replace(make_rig(), calibration=CalibrationPictures(folder="pictures", digest="0123", preprocess="0,1,256"))
    baseline = resolve("baseline", rig.catalogue, rig.machine)
    of_text, of_images = (rig.prepare(baseline, spec)[0] for spec in (spec_of(language), RESNET))

    assert (None, "") == (of_text.calibration, of_text.calibration_digest)
    assert ("pictures", "0123", "0,1,256") == (of_images.calibration, of_images.calibration_digest, of_images.preprocess)
