"""Models that this repository has never seen, through all steps; and a benchmark file of somebody's own, as docs/models.md has it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.bench.launch import ROOT
from fixtures.models.torchvision_import import import_torchvision
from fixtures.protocol import ModelSpec
from fixtures.protocol.kernels import precision_share
from tests.conftest import LEAN, MARK, MakeRig, skip_unless_met
from tests.processes import ran
from tests.session.test_suite import LADDER

LIMIT_S = 3000.0

# Two inputs given by name, one of them whole numbers; outputs nested, one of them whole numbers.
SERVED = """\
import torch
from torch import nn

class Ranker(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3000, 256)
        self.words = nn.Linear(256, 1024)
        self.picture = nn.Conv2d(3, 1024, 8, stride=8)
        self.norm = nn.LayerNorm(1024)
        self.scores = nn.Linear(1024, 1000)

    def forward(self, picture, words):
        seen = self.picture(picture).flatten(2).mean(2)
        read = self.words(self.table(words)).relu().mean(1)
        both = self.norm(seen + read)
        return {"scores": self.scores(both), "inside": (both, None), "best": self.scores(both).argmax(1)}

def create():
    return Ranker(), {"words": torch.randint(0, 3000, (8, 32)), "picture": torch.randn(8, 3, 64, 64)}
"""
ENCODER = """\
import torch
from torch import nn

def create():
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), torch.randn(8, 32, 256)
"""
CONFTEST = 'pytest_plugins = ["fixtures.suite"]\n'
TEST = """\
import pytest

@pytest.mark.parametrize("step", ["baseline", "onnxruntime"])
@pytest.mark.parametrize("model", ["served.py:create"], indirect=True)
def test_mine(benchmark, measure, model, step):
    measure(benchmark, model, step)
"""


def run(folder: Path, artifacts: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Run pytest in a folder; return its status, its output, and the one run that it saved."""
    places = [f"--benchmark-storage=file://{folder}/saved", f"--artifact-cache={artifacts}"]
    command = [sys.executable, "-m", "pytest", *LEAN, "--pairs=1", "--benchmark-autosave", *places, *arguments]
    done = ran(command, folder, {"PYTHONPATH": str(ROOT), MARK: folder.name}, both=True, limit_s=LIMIT_S)
    [file] = (folder / "saved").glob("*/*.json")
    return done.returncode, done.stdout, json.loads(file.read_text())


@pytest.mark.nightly
def test_own_benchmark_file_has_the_fixtures(tmp_path: Path, artifact_folder: Path) -> None:
    """Five lines in a folder of one's own: the steps are proved, measured in turns, and saved."""
    for name, text in {"served.py": SERVED, "conftest.py": CONFTEST, "test_mine.py": TEST}.items():
        (tmp_path / name).write_text(text)
    status, output, saved = run(tmp_path, artifact_folder, "test_mine.py")

    assert status == 0, output
    assert ["test_mine[served.create-baseline]", "test_mine[served.create-onnxruntime]"] == [each["name"] for each in saved["benchmarks"]]
    records = [each["extra_info"] for each in saved["benchmarks"]]
    assert [{"words": [1, 32], "picture": [1, 3, 64, 64]}, {"words": [8, 32], "picture": [8, 3, 64, 64]}] == [
        record["input_shapes"] for record in records
    ]
    assert records[1]["gain"]["over"] in {"batch_8", "baseline"}
    assert all(record["cosine"] > 0.999 and record["complete"] for record in records)


@pytest.mark.nightly
def test_encoder_layer_of_pytorch_is_no_black_box(tmp_path: Path, make_rig: MakeRig) -> None:
    """In eager mode it may run as one operator, through which neither autocast nor a compiler sees."""
    skip_unless_met("compile_freezing")
    file = tmp_path / "encoder.py"
    file.write_text(ENCODER)
    rig, model = make_rig(), ModelSpec(name=f"{file}:create")

    [serving] = rig.serve(rig.recipe("compile_freezing", model, {"huge_pages"}), model=model)
    serving.workers.close()

    precision = "bf16" if "bf16" in rig.machine.features else "f32"
    assert precision_share(serving.proved[0].observations.kernels)[precision] > 0.9


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["timm", "transformers", "factory"])
def test_unseen_model_passes_through_all_steps(tmp_path: Path, artifact_folder: Path, kind: str) -> None:
    """Measured, or skipped for what the machine or the model lacks; nothing fails."""
    name = {
        "timm": "timm:vit_tiny_patch16_224",
        "transformers": f"transformers:{tmp_path}/bert",
        "factory": f"{tmp_path}/served.py:create",
    }[kind]
    (tmp_path / "served.py").write_text(SERVED)
    if kind == "transformers":
        import_torchvision()
        import transformers

        config = transformers.BertConfig(
            hidden_size=512,
            num_hidden_layers=2,
            num_attention_heads=8,
            intermediate_size=2048,
            vocab_size=4000,
        )
        transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "bert", max_shard_size="5MB")  # in shards, as people publish it
    options = ["--model", name, "--image-size", "64", "--sequence-length", "16"]
    status, output, saved = run(tmp_path, artifact_folder, f"{ROOT}/benchmarks", *options)

    outcomes = {each["step"]: each for each in saved["outcomes"]}
    assert list(LADDER) == list(outcomes), output
    assert [] == [each for each in outcomes.values() if each["outcome"] == "failed"]
    assert status == 0, output
    lacks = {step for step, each in outcomes.items() if each["outcome"] == "skipped" and "four dimensions" in each["reason"]}
    assert lacks == ({"channels_last"} if kind == "transformers" else set())
