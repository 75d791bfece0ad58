"""Architectures of TorchBench that are written here: their shapes, and outputs that tell a wrong computation from a right one."""

from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn

from fixtures import models
from fixtures.models import published
from fixtures.models.published import classifiers, control, detectors, generators, recommenders, sound, texts
from fixtures.models.published.signals import with_statistics
from fixtures.models.sets import SETS
from fixtures.protocol import ModelSpec
from fixtures.protocol.kernels import precision_share
from fixtures.steps.accuracy import compare_all
from tests.conftest import MakeRig, skip_unless_met

WRITTEN_HERE = {name: model for name, model in SETS["torchbench"].models.items() if model.startswith(f"{published.__name__}.")}
LIMIT_S = 600.0
LEAST_DB = {"yolov3": 10.0}  # 75 layers in a row round more where they are as narrow as here
Small = Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]


def of_pictures(model: Callable[[], nn.Module], height: int, width: int) -> Small:
    """A model with statistics, and four pictures."""

    def make() -> tuple[nn.Module, tuple[Tensor, ...]]:
        return with_statistics(model(), height, width), (published.example_pictures(height, width)[:4],)

    return make


SMALL: dict[str, tuple[Small, list[tuple[int, ...]]]] = {
    "bert": (
        lambda: (
            texts.MaskedLanguageModel(vocabulary=50, width=16, layers=1, heads=2, most_tokens=8),
            (torch.randint(50, (4, 8)), torch.randint(2, (4, 8))),
        ),
        [(4, 8, 50)],
    ),
    "dlrm": (
        lambda: (
            recommenders.ClickModel(tables=3, rows=40, bottom=[6, 8], top=[16, 1]),
            (torch.randn(4, 6), torch.randint(40, (4, 3, 5))),
        ),
        [(4, 1)],
    ),
    "deeprecommender": (lambda: (recommenders.RatingModel(items=30, hidden=[8, 6]), (torch.randn(4, 30),)), [(4, 30)]),
    "policy": (lambda: (control.Policy(observed=3, actions=2, width=32), (torch.randn(4, 3),)), [(4, 2), (4, 2)]),
    "resnet": (of_pictures(lambda: classifiers.residual_network([4, 8], blocks=2, classes=5), 16, 16), [(4, 5)]),
    "densenet": (of_pictures(lambda: classifiers.dense_network([2, 2], growth=4, classes=5), 16, 16), [(4, 5)]),
    "dcgan": (of_pictures(lambda: classifiers.discriminator(16), 64, 64), [(4, 1)]),
    "yolov3": (of_pictures(lambda: detectors.Detector(width=8, classes=2), 64, 96), [(4, 21, 2, 3), (4, 21, 4, 6), (4, 21, 8, 12)]),
    "stargan": (
        lambda: (
            generators.AttributeTranslator(attributes=2, width=8, blocks=1),
            (torch.randn(4, 3, 16, 24), torch.randint(2, (4, 2)).float()),
        ),
        [(4, 3, 16, 24)],
    ),
    "cyclegan": (
        lambda: (
            generators.translator(channels=3, width=8, blocks=1, kernel=3, padding_mode="reflect", affine=False),
            (torch.randn(4, 3, 16, 24),),
        ),
        [(4, 3, 16, 24)],
    ),
    "unet": (of_pictures(lambda: generators.UNet(width=4, classes=2), 33, 47), [(4, 2, 33, 47)]),
    "demucs": (
        lambda: (sound.Separator(width=8, depth=2, sources=3), (torch.randn(4, 2, sound.length_of(5, depth=2)),)),
        [(4, 3, 2, 100)],
    ),
    "speaker": (lambda: (sound.SpeakerEncoder(bands=6, hidden=16, width=8, layers=2), (torch.randn(4, 9, 6),)), [(4, 8)]),
}


def outputs_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        found = model(*inputs)
    return [found] if isinstance(found, Tensor) else list(found)


@pytest.mark.parametrize("name", SMALL)
def test_outputs_have_their_shapes_and_are_kept_in_bf16(name: str) -> None:
    """Random weights let each output depend on its input, which a comparison refuses otherwise."""
    make, shapes = SMALL[name]
    torch.manual_seed(5)
    model, inputs = make()
    model.eval()
    expected = outputs_of(model, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        in_bf16 = outputs_of(model, inputs)

    assert shapes == [tuple(each.shape) for each in expected]
    named = {str(place): each.numpy() for place, each in enumerate(expected)}
    assert compare_all([each.float().numpy() for each in in_bf16], named).keeps(LEAST_DB.get(name, 20.0))


def test_dot_products_are_those_of_different_vectors() -> None:
    """Each pair once, in the order of rows: dense with each table, and the tables with each other."""
    model = recommenders.ClickModel(tables=2, rows=10, bottom=[4, 4], top=[1])
    dense, categories = torch.randn(1, 4), torch.randint(10, (1, 2, 3))
    own = model.bottom(dense)[0]
    first, second = (model.tables[place].weight[categories[0, place]].sum(0) for place in range(2))  # type: ignore[index]
    crossed = torch.stack([first @ own, second @ own, second @ first])

    assert torch.allclose(model.top(torch.cat([own, crossed])[None]), model(dense, categories), atol=1e-5)


def test_every_part_of_demucs_counts() -> None:
    """An error in the LSTM at its bottom is larger in the outputs than what a step in bf16 may differ by."""
    torch.manual_seed(5)
    model = sound.Separator(width=8, depth=3, sources=2).eval()
    mixtures = torch.randn(4, 2, sound.length_of(20, depth=3))
    [expected] = outputs_of(model, (mixtures,))
    nn.init.zeros_(model.join.weight)
    [without] = outputs_of(model, (mixtures,))

    assert not compare_all([without.numpy()], {"output": expected.numpy()}).keeps(20.0)


@pytest.mark.parametrize("name", WRITTEN_HERE)
def test_factory_says_what_it_stands_for(name: str) -> None:
    """By its name and in its first words, so that a reader of the code finds it by TorchBench's name."""
    module, _, function = WRITTEN_HERE[name].partition(":")

    assert name.lower() == function
    assert (getattr(import_module(module), function).__doc__ or "").startswith(f"TorchBench's {name}")


@pytest.mark.nightly
@pytest.mark.parametrize("name", WRITTEN_HERE)
def test_model_is_served_eager_and_compiled_in_bf16(make_rig: MakeRig, name: str) -> None:
    """Within the tolerances of both steps, and proved to compute in bf16."""
    skip_unless_met("compile_freezing")
    rig, model = make_rig(timeout_s=LIMIT_S), ModelSpec(name=models.full_name(WRITTEN_HERE[name]))

    for step in ("bf16_autocast", "compile_freezing"):
        [serving] = rig.serve(rig.recipe(step, model, {"huge_pages"}), model=model)
        serving.workers.close()
        if "bf16" in rig.machine.features:
            assert precision_share(serving.proved[0].observations.kernels)["bf16"] > 0.5
