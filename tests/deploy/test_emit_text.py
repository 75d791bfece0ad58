"""What `recommend --emit` writes of a run of text generation serves the winner to OpenAI's client, and proves in place what is in force."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fixtures import models
from fixtures.protocol import ModelSpec
from fixtures.steps.optimizations import catalogue
from fixtures.steps.recipe import resolve
from reports.__main__ import main
from reports.commands.measuring import Bench, CannotMeasure
from reports.deploy.language import language_of
from tests.benches import bench_of
from tests.conftest import skip_unless_met
from tests.deploy.test_emit import emit_as_built, holds_the_throughput, lines, measure_shortly, run_alone, served
from tests.generation.conftest import CONFIG

DEPTH, NEW_TOKENS = 20, 8
WORDS = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
named = {f"w{number}": number for number in range(3, 512)} | {"<unk>": 0, "<s>": 1, "</s>": 2}
words = Tokenizer(models.WordLevel(named, unk_token="<unk>"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
made.chat_template = "{{ bos_token }}{% for message in messages %} {{ message.content }}{% endfor %}"
made.save_pretrained(sys.argv[1])
"""
Emit = Callable[[str], Path]
OTHERS = ("onnxruntime_genai_generate", "openvino_generate", "generate", "generate_compile")
IN_FP32 = ["onnxruntime_generate", *(pytest.param(step, marks=pytest.mark.nightly) for step in OTHERS)]
QUANTIZED = (
    *("onnxruntime_generate_int4", "onnxruntime_genai_generate_int4", "openvino_generate_default", "openvino_generate_int8"),
    *("openvino_generate_int4", "generate_bf16"),
)
STEPS = [*IN_FP32, *(pytest.param(step, marks=pytest.mark.nightly) for step in QUANTIZED)]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model whose weights are drawn, with a tokenizer of words and a template of chats."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed -> pip install tokenizers")
    folder = tmp_path_factory.mktemp("small")
    (folder / "config.json").write_text(json.dumps(CONFIG | {"eos_token_id": 3}))
    subprocess.run([sys.executable, "-c", WORDS, str(folder)], check=True, timeout=120, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def made(named: Path, artifact_folder: Path) -> Bench:
    """The rig that the command assembles too, at a point of decode."""
    usual = bench_of(f"transformers:{named}", artifact_folder, size=224, sequence_length=DEPTH, batch_size=1, warmup_limit_s=0.0)
    model = msgspec.structs.replace(usual.model, phase="decode", new_tokens=NEW_TOKENS, batch_size=1)
    return replace(usual, model=model, model_id=models.spec_id(model))


@pytest.fixture(scope="module")
def measured(made: Bench, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that measures a step shortly and saves it, each once."""
    folders: dict[str, Path] = {}

    def run(step: str) -> Path:
        skip_unless_met(step)
        if step not in folders:
            runs = tmp_path_factory.mktemp("runs")
            measure_shortly(made, resolve(step, catalogue(1), made.rig.machine), runs)
            folders[step] = runs
        return folders[step]

    return run


@pytest.fixture(scope="module")
def emitted(measured: Callable[[str], Path], made: Bench, named: Path, artifact_folder: Path) -> Emit:
    """A function that emits a measured step by the command line, each once."""

    def run(step: str) -> Path:
        runs = measured(step)
        if not (runs / "served").exists():
            emit_as_built(made, runs, artifact_folder, "--model", f"transformers:{named}", "--emit", str(runs / "served"))
        return runs / "served"

    return run


@pytest.fixture
def emit(emitted: Emit, tmp_path: Path) -> Emit:
    """A function that returns a deployment of the test's own."""
    return lambda step: Path(shutil.copytree(emitted(step), tmp_path / "served"))


CLIENT = """
import json, sys
import openai
url, model, prompt, expected = sys.argv[1], *map(json.loads, sys.argv[2:])
client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
asked = {"model": model, "max_tokens": len(expected), "extra_body": {"return_token_ids": True}}
whole = client.completions.create(prompt=prompt, **asked)
assert whole.choices[0].token_ids == expected, (whole, expected)
assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (len(prompt), len(expected)), whole
words = " ".join(f"w{token}" for token in prompt)
streamed = list(client.completions.create(prompt=words, stream=True, **asked))
assert "".join(each.choices[0].text for each in streamed) == "".join(f" w{token}" for token in expected if token > 3), streamed
said = client.chat.completions.create(model=model, messages=[{"role": "user", "content": words}], max_tokens=2)
assert said.usage.prompt_tokens == len(prompt) + 1 and said.choices[0].message.content, said
try:
    client.completions.create(prompt=prompt * 7, **asked)
    sys.exit("taken")
except openai.BadRequestError as error:
    assert error.code == "context_length_exceeded" and "maximum context length is" in error.message, error
print("all answered")
"""
OWN_TOKENS = """
import model
prompt, expected = (each[0].tolist() for each in model.sample()[0])
print(list(model.load().generate(prompt, len(expected))))
"""
IN_PIECES = """
import sys
import numpy as np
import model
prompt, expected = (each[0].tolist() for each in model.sample()[0])
loaded = model.load()
assert list(loaded.generate(prompt, len(expected))) == expected
model.PIECE = 4
assert list(loaded.generate(prompt, len(expected))) == expected
loaded.ends = frozenset(expected[2:3])
assert list(loaded.generate(prompt, len(expected))) == expected[: expected.index(expected[2]) + 1]
for prompt, most in (([], 1), ([1] * 100, 29), ([512], 1), ([-1], 1), ([1], 0)):
    try:
        list(loaded.generate(prompt, most))
        sys.exit("taken")
    except ValueError:
        pass
print("as in one")
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_it_proves_its_steps_without_the_suite(emit: Emit, step: str) -> None:
    folder = emit(step)

    done = run_alone(folder, "check.py")

    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert {"ok"} == set(lines(done).values())
    assert {"versions", "CPUs", "threads", "kernels", "outputs", "tokens of highest logit", "tokenizer"} <= lines(done).keys()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_openais_client_is_given_fp32s_own_tokens(emit: Emit, step: str) -> None:
    """As numbers, as words that come one by one, and in a chat; a quantized step's own tokens may be others."""
    pytest.importorskip("openai", reason="openai is not installed -> pip install openai")
    folder = emit(step)
    with np.load(folder / "sample.npz") as sample:
        prompt, expected = sample["input_0"][0].tolist(), sample["input_1"][0].tolist()
    if step in QUANTIZED:
        (folder / "program.py").write_text(OWN_TOKENS)
        expected = json.loads(run_alone(folder, "program.py").stdout)
    name = json.loads((folder / "deployment.json").read_text())["model"]

    with served(folder) as address:
        command = [sys.executable, "-c", CLIENT, f"{address}/v1", *map(json.dumps, (name, prompt, expected))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert (0, "all answered\n") == (done.returncode, done.stdout), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("step", IN_FP32)
def test_a_prompt_that_is_taken_in_pieces_has_the_same_tokens(emit: Emit, step: str) -> None:
    """And a text ends with the token that ends it; what does not fit into the context is refused."""
    folder = emit(step)
    (folder / "program.py").write_text(IN_PIECES)

    done = run_alone(folder, "program.py")

    assert (0, "as in one\n") == (done.returncode, done.stdout), done.stderr


@pytest.mark.slow
def test_the_check_fails_where_outputs_or_tokens_are_others(emit: Emit) -> None:
    """fp32's logits in another order are not those of the model; its tokens are held against the logits."""
    folder = emit("onnxruntime_generate")
    with np.load(folder / "sample.npz") as sample:
        arrays = dict(sample)
    np.savez(folder / "sample.npz", **arrays | {"expected": arrays["expected"][:, :, ::-1]})
    (folder / "greedy.py").write_text(
        (folder / "greedy.py").read_text().replace(".argmax(axis=-1, keepdims=True)", ".argmin(-1, keepdims=True)")
    )

    done = run_alone(folder, "check.py")

    assert 1 == done.returncode, done.stderr
    assert {"outputs", "tokens of highest logit"} == {name for name, verdict in lines(done).items() if verdict == "NOT"}, done.stdout


@pytest.mark.slow
def test_the_check_times_decoding(emit: Emit) -> None:
    holds_the_throughput(emit("onnxruntime_generate"), "tokens", ("within", "BELOW"))


@pytest.mark.slow
def test_a_saved_run_never_chooses_a_models_folder(
    measured: Callable[[str], Path], named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor its point: a record whose name is not that of its model and point was altered."""
    run = json.loads((measured("onnxruntime_generate") / "0001_run.json").read_text())
    (tmp_path / "runs").mkdir()

    def said(*arguments: str, **changes: Any) -> str:
        altered = json.loads(json.dumps(run))
        altered["benchmarks"][0]["extra_info"] |= changes
        (tmp_path / "runs" / "0001_run.json").write_text(json.dumps(altered))
        assert 2 == main(["recommend", "1", "--storage", str(tmp_path / "runs"), "--emit", str(tmp_path / "other"), *arguments])
        assert not (tmp_path / "other").exists()
        return capsys.readouterr().err

    assert "never chooses which code runs here" in said()
    assert "its record was altered" in said(model="transformers.other-decode-20x1")
    generation = run["benchmarks"][0]["extra_info"]["generation"]
    assert "its record was altered" in said(generation=generation | {"tokens": 21})
    lookup = {"step": "generate_prompt_lookup", "recipe": ["generate", "generate_prompt_lookup"]}
    several = {"model": run["benchmarks"][0]["extra_info"]["model"][:-1] + "4", "batch_size": 4}
    assert "generates one text at a time" in said("--model", f"transformers:{named}", **several)
    assert "is written for generate_prompt_lookup (prompt_lookup)" in said("--model", f"transformers:{named}", **lookup)
    assert "has other fp32 outputs" in said("--model", f"transformers:{named}", reference={"logits": [1.0] * 8})


def test_a_model_by_its_name_ends_no_text() -> None:
    """It has no tokenizer, so no token of its means an end; its config tells the rest."""
    found = language_of(ModelSpec(name="transformers:llama-150m", phase="decode", new_tokens=16))

    assert (None, (), 32_000, 4096, None) == (found.tokenizer, found.ends, found.vocabulary, found.context, found.template)
    assert "llama" == json.loads(found.config)["model_type"]


def test_a_models_own_code_is_not_written() -> None:
    with pytest.raises(CannotMeasure, match="is built by code of its own"):
        language_of(ModelSpec(name="somewhere.models:create", phase="decode", new_tokens=16))


@pytest.mark.slow
def test_what_is_written_says_how_it_is_asked(emit: Emit) -> None:
    """The README's program compiles; Docker asks for the server's own health; packages of the tokenizer are pinned, transformers is not."""
    folder = emit("onnxruntime_generate")
    text = (folder / "README.md").read_text()
    shown = [line[4:] for line in text.splitlines() if line.startswith("    ")]

    compile("\n".join(shown[shown.index("from openai import OpenAI") :][:4]), "README.md", "exec")
    assert "Chats are taken." in text
    assert "at most 128 tokens together" in text
    assert " ms a token behind 20, " in text
    assert "127.0.0.1:8080/health'" in (folder / "Dockerfile").read_text()
    pins = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()}
    assert {"onnxruntime", "tokenizers", "jinja2", "uvicorn"} <= pins
    assert not {"torch", "transformers", "openai"} & pins
    deployment = json.loads((folder / "deployment.json").read_text())
    assert ([2, 3], 512, 128, "tokens") == tuple(deployment[name] for name in ("ends", "vocabulary", "context", "unit"))
