"""Arm paths that are wrong on purpose: published, plausible, and refused. Real rigs, real kernels."""

from dataclasses import replace
from pathlib import Path

import pytest

from emulation import IMAGE_SIZE, LONGEST_ANSWER_S
from fixtures.bench.rig import ServingError
from fixtures.machine.allocators import torch_allocator
from fixtures.protocol import ModelSpec
from fixtures.steps import requirements as need
from fixtures.steps.evidence import ProofError
from fixtures.steps.recipe import resolve
from reports.text.image_shape import square
from tests import checkouts
from tests.conftest import MakeRig

CONVOLUTIONS = ModelSpec(name="emulation.models:convolutions", image=square(IMAGE_SIZE))


@pytest.mark.nightly
def test_tcmalloc_that_reaches_no_tensor_is_refused(make_rig: MakeRig) -> None:
    """The published setting: preloaded it serves Python and the libraries, and tensors come from torch's own mimalloc."""
    if torch_allocator() == "malloc":
        pytest.skip("this torch allocates tensors by malloc -> a wheel of 2.10 or later")
    rig = make_rig()
    steps = dict(rig.catalogue)
    steps["tcmalloc"] = replace(steps["tcmalloc"], requires=(need.allocator("tcmalloc"),))

    with pytest.raises(ServingError) as raised:
        rig.serve(resolve("tcmalloc", steps, rig.machine), model=CONVOLUTIONS)

    assert isinstance(raised.value.cause, ProofError), raised.value
    assert "TCMalloc allocates the weights and tensors: its own count grew by" in str(raised.value)
    assert "by 0.0 MiB with a tensor of 64.0 MiB" in str(raised.value)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        (
            "runtimes/quantization.py",
            "x86_inductor_quantizer.get_default_x86_inductor_quantization_config(is_dynamic=is_dynamic)",
            "arm_inductor_quantizer.get_default_arm_inductor_quantization_config()",
        ),
        (
            "runtimes/inductor.py",
            "dynamic_shapes=dynamic_shapes, strict=True)",
            "dynamic_shapes=dynamic_shapes, strict=False)",
        ),
    ],
    ids=["the Arm quantizer's default config", "non-strict export"],
)
def test_int8_that_is_none_is_refused(make_rig: MakeRig, tmp_path: Path, file: str, right: str, wrong: str) -> None:
    """Both run to the end without a word, and compute in f32, or in bf16 under autocast."""
    root = checkouts.changed(tmp_path / "checkout", f"fixtures/{file}", right, wrong, "emulation")
    rig = make_rig(root=root, cache=tmp_path / "artifacts", timeout_s=LONGEST_ANSWER_S)

    with pytest.raises(ServingError) as raised:
        rig.serve(resolve("pt2e_int8", rig.catalogue, rig.machine, {"huge_pages"}), model=CONVOLUTIONS)

    assert isinstance(raised.value.cause, ProofError), raised.value
    assert "int8 is 0.0% of all" in str(raised.value)
    assert "0 int8 kernels" in str(raised.value)
