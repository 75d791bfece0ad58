"""Labelled accuracy: pictures as a person keeps them, right answers beside fp32's, and a limit that a ruined INT8 breaks."""

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from fixtures.bench.answers import Answers
from fixtures.bench.rig import Rig, ServingError
from fixtures.bench.turns import Plan
from fixtures.inputs.images import IMAGENET_MEAN, IMAGENET_STD
from fixtures.inputs.pictures import Pictures
from fixtures.models.preprocessing import PicturesError, calibration_pictures
from fixtures.protocol import ModelSpec
from fixtures.steps.recipe import Recipe, resolve
from fixtures.tasks import labelled
from fixtures.tasks.labelled import AccuracyLostError, LabelsError, compare, find
from reports.saved.record import SavedAccuracy
from reports.text.image_shape import ImageShape, square
from reports.tune.measure import measure
from reports.tune.run import recipe_of
from reports.tune.space import Candidate
from reports.views.recommend import DeploymentLimits
from tests import digit_pictures
from tests.bench.test_outputs import CALIBRATED
from tests.benches import bench_of
from tests.conftest import MakeRig, skip_unless_met
from tests.steps.test_broken_steps import changed

SIZE = digit_pictures.SIZE


def picture(file: Path, shade: int, size: tuple[int, int] = (40, 30)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, shade, shade)).save(file)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of cats, one of dogs, and what is no picture."""
    picture(tmp_path / "cat" / "a.png", 10)
    picture(tmp_path / "cat" / "b.jpg", 20)
    picture(tmp_path / "dog" / "deeper" / "c.png", 30)
    (tmp_path / "dog" / "notes.txt").write_text("none")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_a_folder_for_each_class_in_the_order_of_names(folder: Path) -> None:
    """Classes take turns, so that a limit leaves none out."""
    found = find(folder, most=2)

    assert [("a.png", 0), ("c.png", 1)] == [(Path(file).name, label) for file, label in zip(found.files, found.labels, strict=True)]
    assert 3 == len(find(folder, most=99).labels)


def test_digest_is_of_content_and_labels(folder: Path) -> None:
    before = find(folder, most=99).digest
    picture(folder / "cat" / "a.png", 11)
    changed = find(folder, most=99).digest
    (folder / "dog").rename(folder / "ant")

    assert 3 == len({before, changed, find(folder, most=99).digest})


@pytest.mark.parametrize("header", [[], [["file", "class"]]])
def test_csv_of_files_and_classes(folder: Path, header: list[list[str]]) -> None:
    with (folder / "labels.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([*header, ["cat/a.png", "281"], ["dog/deeper/c.png", "207"]])
    found = find(folder / "labels.csv", most=9)

    assert ((207, 281), {"a.png", "c.png"}) == (found.labels, {Path(file).name for file in found.files})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png,cat\nb.png,dog\n", "line 'b.png,dog' is not FILE,CLASS with the number of the class"),
        ("a.png\n", "line 'a.png' is not FILE,CLASS"),
        ("lost.png,1\nlost.png,2\n", "picture '.*lost.png' cannot be read"),
        ("a\0.png,1\nb.png,2\n", r"picture '.*a\\x00.png' cannot be read"),
        ("/dev/zero,1\nb.png,2\n", "picture '/dev/zero' cannot be read .*; remove it, or mend its line"),
        ("a.png,1\nb.png,²\n", "line 'b.png,²' is not FILE,CLASS"),
        (f"a.png,{'9' * 5000}\n", "is not FILE,CLASS"),
        ("", "pictures of 0 class"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "labels.csv").write_text(text)

    with pytest.raises(LabelsError, match=expected):
        find(tmp_path / "labels.csv", most=9)


def test_a_picture_in_the_first_line_is_no_header(folder: Path) -> None:
    """A slip of the pen in its class left it out without a word."""
    (folder / "labels.csv").write_text("cat/a.png,28l\ncat/b.jpg,281\ndog/deeper/c.png,207\n")

    with pytest.raises(LabelsError, match=r"line 'cat/a\.png,28l' is not FILE,CLASS with the number of the class"):
        find(folder / "labels.csv", most=9)


def test_a_pipe_is_no_csv(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    os.mkfifo(tmp_path / "labels.csv")

    with pytest.raises(LabelsError, match="there is no such file; name one that exists"):
        find(tmp_path / "labels.csv", most=9)


def test_names_that_are_not_utf_8_have_a_digest(folder: Path) -> None:
    for file in sorted(folder.rglob("*.png")):
        file.rename(os.fsdecode(os.fsencode(file.parent) + b"/\xff.png"))
        break

    assert re.fullmatch("[0-9a-f]{16}", find(folder, most=9).digest)
    found = calibration_pictures(folder)
    assert found is not None
    assert re.fullmatch("[0-9a-f]{16}", found.digest)


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="there is no such folder"):
        find(tmp_path / "none", most=9)
    picture(tmp_path / "a.png", 1)
    with pytest.raises(LabelsError, match="no picture in a folder of its own class"):
        find(tmp_path, most=9)
    picture(tmp_path / "cat" / "a.png", 1)
    with pytest.raises(LabelsError, match="pictures of 1 class; give pictures of two classes or more"):
        find(tmp_path, most=9)


def test_picture_is_scaled_by_its_shorter_side_and_cropped(tmp_path: Path) -> None:
    """The left and right of a wide picture are cut off, as the model's own evaluation does."""
    pixels = np.zeros((80, 160, 3), dtype=np.uint8)
    pixels[:, 60:100] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    labelled.draw("my.models:create", square(32), [str(tmp_path / "wide.png")], [1], tmp_path)
    batch = Pictures(tmp_path).batch(0, 2)

    assert (2, 3, 32, 32) == batch.shape
    np.testing.assert_array_equal(batch[0], batch[1])
    np.testing.assert_allclose(batch[0, :, 16, 16], (1 - IMAGENET_MEAN) / IMAGENET_STD, rtol=1e-5)
    np.testing.assert_allclose(batch[0, :, 16, 0], -IMAGENET_MEAN / IMAGENET_STD, rtol=1e-5)


def test_preprocessing_of_the_users_own(tmp_path: Path) -> None:
    """Values of 0 to 1 less the mean, over the deviation; the shorter side is scaled to 40 pixels, of which 32 are left."""
    pixels = np.zeros((80, 80, 3), dtype=np.uint8)
    pixels[8:72, 8:72] = 255
    Image.fromarray(pixels).save(tmp_path / "framed.png")
    labelled.draw("my.models:create", square(32), [str(tmp_path / "framed.png")], [1], tmp_path, preprocess="0.5,0.25:0.5:1,40")
    batch = Pictures(tmp_path).batch(0, 1)

    np.testing.assert_allclose(batch[0, :, 16, 16], [2.0, 1.0, 0.5])
    assert (batch[0, 0, 1:31, 1:31] == 2.0).all()
    with pytest.raises(PicturesError, match="pictures of 16 pixels are smaller than the model's 32"):
        labelled.draw("my.models:create", square(32), [str(tmp_path / "framed.png")], [1], tmp_path, preprocess="0.5,0.5,16")


def test_picture_covers_images_that_are_not_square(tmp_path: Path) -> None:
    """As much of it as the images' own proportions leave: of one that is high, above and below are cut off."""
    pixels = np.zeros((160, 80, 3), dtype=np.uint8)
    pixels[60:100] = 255
    Image.fromarray(pixels).save(tmp_path / "high.png")
    labelled.draw("my.models:create", ImageShape(24, 48), [str(tmp_path / "high.png")], [1], tmp_path, preprocess="0,1,24")
    batch = Pictures(tmp_path).batch(0, 1)

    assert (1, 3, 24, 48) == batch.shape
    assert (batch[0] > 0.9).mean() == pytest.approx(1.0, abs=0.1)
    with pytest.raises(PicturesError, match="pictures of 16 pixels are smaller than the model's 24"):
        labelled.draw("my.models:create", ImageShape(24, 48), [str(tmp_path / "high.png")], [1], tmp_path, preprocess="0,1,16")


def test_picture_of_a_model_of_one_channel_is_grey(tmp_path: Path) -> None:
    """With the mean of three means, and of three deviations; no picture has four channels."""
    Image.new("RGB", (40, 40), (255, 255, 255)).save(tmp_path / "white.png")
    labelled.draw("my.models:create", ImageShape(32, 32, 1), [str(tmp_path / "white.png")], [1], tmp_path)
    batch = Pictures(tmp_path).batch(0, 2)

    assert (2, 1, 32, 32) == batch.shape
    np.testing.assert_allclose(batch, (1 - IMAGENET_MEAN.mean()) / IMAGENET_STD.mean(), rtol=1e-5)
    with pytest.raises(LabelsError, match=r"--accuracy: pictures have 3 channels, or 1 .* --image-channels is 4: leave --accuracy out"):
        labelled.draw("my.models:create", ImageShape(32, 32, 4), [str(tmp_path / "white.png")], [1], tmp_path)


@pytest.mark.parametrize(
    "text", ["0.5", "0.5,0.5", "a,b,c", "0.5,0,256", "0.5,-1,256", "0.5:0.5,0.5,256", "0.5,0.5,0", "nan,0.5,8", "0.5,inf,8", "1:1:1:1,1,8"]
)
def test_bad_preprocessing_is_refused(folder: Path, text: str) -> None:
    expected = r"expected MEAN,STD,SIZE, for example 0\.5,0\.5,256"
    with pytest.raises(PicturesError, match=expected):
        find(folder, 9, text)
    with pytest.raises(PicturesError, match=expected):
        calibration_pictures(folder, text)


def test_preprocessing_is_part_of_the_digest(folder: Path) -> None:
    assert find(folder, 9).digest != find(folder, 9, "0.5,0.5,256").digest
    own, given = calibration_pictures(folder), calibration_pictures(folder, "0.5,0.5,256")
    assert own is not None
    assert given is not None
    assert own.digest != given.digest


def test_picture_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"rubbish")

    with pytest.raises(LabelsError, match=r"picture '.*a\.png' cannot be read"):
        labelled.draw("my.models:create", square(32), [str(tmp_path / "a.png")], [1], tmp_path)


def test_difference_is_paired() -> None:
    """Two answers lost and one gained among ten; the interval is narrower than that of two independent shares."""
    labels = np.zeros(10, dtype=int)
    reference, own = np.zeros((10, 5), dtype=int), np.zeros((10, 5), dtype=int)
    reference[:1] = 1
    own[1:3] = 1
    found = compare(own, reference, labels)

    assert (0.8, 0.9) == (found.top1, found.reference_top1)
    assert -0.1 == pytest.approx(found.difference)
    assert (-0.407, 0.240) == pytest.approx((found.low, found.high), abs=0.001)


def test_top_five() -> None:
    """Right within five; not told of fewer classes."""
    best = np.array([[3, 1, 2, 4, 5], [9, 8, 7, 6, 5]])
    found = compare(best, best, np.array([1, 1]))

    assert (0.0, 0.5) == (found.top1, found.top5)
    assert compare(best[:, :3], best[:, :3], np.array([1, 1])).top5 is None


@pytest.mark.parametrize("scores", [np.zeros((2, 1)), np.zeros((2, 3, 4))])
def test_outputs_without_classes_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(LabelsError, match="needs scores of classes"):
        labelled.best_classes(scores)


def test_limit_is_on_points_of_top1() -> None:
    found = compare(np.zeros((200, 5), dtype=int), np.zeros((200, 5), dtype=int), np.zeros(200, dtype=int))
    lost = msgspec.structs.replace(found, difference=-0.006)

    labelled.require(found, 0.0, "baseline", "m")
    labelled.require(lost, None, "baseline", "m")
    with pytest.raises(AccuracyLostError, match=r"at most 0\.5 points may be lost; nothing is recorded"):
        labelled.require(lost, 0.5, "onnxruntime_int8", "m")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of digits nobody trained on, a folder for each, beside a model of them; returns their folder."""
    pytest.importorskip("sklearn", reason="scikit-learn has the digits -> pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("digits")
    digit_pictures.train(folder)
    return folder


@pytest.fixture
def rig(make_rig: MakeRig, digits: Path) -> Iterator[Rig]:
    rig = replace(make_rig(), answers=Answers(pictures=find(digits / "unseen", most=120)))
    yield rig
    rig.standby.close()


def served(rig: Rig, recipe: Recipe, digits: Path) -> SavedAccuracy:
    [serving] = rig.serve(recipe, model=ModelSpec(name=f"{digits}/{digit_pictures.FILE}:create", image=square(SIZE)))
    serving.workers.close()
    assert serving.accuracy is not None
    right = rig.answers.right[recipe.step.name, serving.job.model]
    assert (serving.accuracy.pictures, round(serving.accuracy.pictures * serving.accuracy.top1)) == (len(right), right.count("1"))
    return serving.accuracy


def without_claims(recipe: Recipe) -> Recipe:
    """So small a model is none for claims by time."""
    return replace(recipe, steps=tuple(replace(each, claims=()) for each in recipe.steps))


@pytest.mark.slow
def test_a_trained_models_accuracy_is_seen_before_and_after(rig: Rig, digits: Path) -> None:
    """The baseline is fp32 eager itself; INT8 loses next to nothing, within a limit of two points."""
    skip_unless_met("onnxruntime_int8")
    baseline = served(rig, resolve("baseline", rig.catalogue, rig.machine), digits)
    limited = replace(rig, answers=replace(rig.answers, max_accuracy_loss=2.0))
    quantized = served(limited, without_claims(resolve("onnxruntime_int8", rig.catalogue, rig.machine)), digits)

    assert (120, 0.0) == (baseline.pictures, baseline.difference)
    assert baseline.top1 >= 0.9
    assert quantized.reference_top1 == baseline.top1
    assert quantized.top1 >= baseline.top1 - 0.02


@pytest.mark.slow
def test_an_int8_that_ruins_it_is_refused(make_rig: MakeRig, digits: Path, tmp_path: Path) -> None:
    """Ranges 400 times too wide, with the check of the outputs switched off: the labels alone refuse it."""
    skip_unless_met("onnxruntime_int8")
    wide = CALIBRATED.replace("_rows(array, number", "400 * _rows(array, number")
    rig = make_rig(root=changed(tmp_path, "inputs/samples.py", CALIBRATED, wide), cache=tmp_path / "artifacts")
    rig = replace(rig, answers=Answers(pictures=find(digits / "unseen", most=120), max_accuracy_loss=2.0))
    recipe = without_claims(resolve("onnxruntime_int8", rig.catalogue, rig.machine))
    recipe = replace(recipe, steps=tuple(replace(each, least_sqnr_db=-100.0) for each in recipe.steps))

    with pytest.raises(ServingError, match="at most 2 points may be lost; nothing is recorded") as refused:
        served(rig, recipe, digits)
    assert isinstance(refused.value.cause, AccuracyLostError)


@pytest.mark.nightly
def test_a_candidate_of_the_search_says_what_it_gets_right(digits: Path, tmp_path: Path) -> None:
    """`tune` measures it as the ladder does, so that its limit has something to hold on to."""
    skip_unless_met("onnxruntime")
    name, answers = f"{digits}/{digit_pictures.FILE}:create", Answers(pictures=find(digits / "unseen", most=64))
    made = bench_of(name, tmp_path / "artifacts", size=SIZE, answers=answers)
    measurement = measure(made, recipe_of(Candidate("onnxruntime", 8, 1, 2), made), None, Plan(pairs=1, budget_s=0.1, warmup_limit_s=0.5))

    assert measurement.accuracy is not None
    assert 64 == measurement.accuracy.pictures
    assert not DeploymentLimits(accuracy_loss_points=2.0).broken_by(measurement)


@pytest.mark.nightly
def test_model_with_inputs_of_its_own_is_told_apart(rig: Rig) -> None:
    with pytest.raises(ServingError, match="--accuracy classifies pictures, and transformers:bert has inputs of its own"):
        rig.serve(resolve("baseline", rig.catalogue, rig.machine), model=ModelSpec(name="transformers:bert", sequence_length=8))
