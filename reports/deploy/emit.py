"""Writes a recommended recipe as a folder that runs on its own: artifact, code, environment, and a check of what is in force."""

import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from fixtures import models
from fixtures.bench.record import RANDOM
from fixtures.bench.rig import CALIBRATED, LEAST_SAMPLES, Reference, ServingError
from fixtures.generation.generation_session import SPARE
from fixtures.generation.greedy import CONTINUATION, PROMPTS
from fixtures.inputs import samples
from fixtures.inputs.images import random_images
from fixtures.machine import allocators, cpus, memory, own_folder, thread_work
from fixtures.machine.allocators import ALLOCATORS, PRELOAD
from fixtures.machine.versions import PACKAGES as PACKAGES_RECORDED
from fixtures.machine.versions import installed
from fixtures.models import torchvision_import
from fixtures.protocol import Job, kernels
from fixtures.runtimes import Deployed, deployed
from fixtures.steps.accuracy import signal_of
from fixtures.steps.placement import UnknownRecipe, recorded
from fixtures.steps.recipe import Recipe
from reports.commands.measuring import Bench, CannotMeasure
from reports.deploy import contents, locked
from reports.deploy.language import Language, language_of
from reports.deploy.language import readme as language_readme
from reports.deploy.locked import release
from reports.deploy.texts import figures as figures_text
from reports.saved.files import check_folder
from reports.saved.machines import machine_differences, machine_name, missing_identity
from reports.saved.record import Measurement, Run
from reports.text.figures import milliseconds, p99_text, per_second, sqnr
from reports.text.plain_text import plain
from reports.views.recommend import Recommendation

if TYPE_CHECKING:
    from torch import nn

EMITTED = Path(__file__).parent / "emitted"
COMMON = ("deployed.py", "serving.py", "workers.py", "check.py")
OF_TENSORS = ("model.py", "inference_protocol.py", "serve.py")
OF_TEXT = tuple(
    f"generation/{name}.py" for name in ("model", "greedy", "continuation", "texts", "chat_template", "openai_protocol", "serve")
)
CARRIED = (allocators, cpus, memory, own_folder, thread_work)  # what the suite itself looks with, and keeps code apart by
REPORTED_KERNELS = "reported_kernels.py"  # not `kernels`, which transformers would take for the package of that name
SOURCE_PACKAGES = {"torchvision": ("torchvision",), "timm": ("timm", "torchvision"), "transformers": ("transformers",), "code": ()}
KEPT_SHARE = 0.5
REFERENCE_TOLERANCE = 1e-3  # of the largest value: other threads add up in another order


@dataclass(frozen=True, kw_only=True)
class Emission:
    """What is written: a recommended record of a run, and how this machine builds it; of one that generates text also its language."""

    run: Run[Measurement]
    recommendation: Recommendation
    recipe: Recipe
    bench: Bench
    language: Language | None = None

    @property
    def measurement(self) -> Measurement:
        return self.recommendation.winner.measurement

    @property
    def has_module(self) -> bool:
        """Whether the deployment builds the module from its architecture and its weights."""
        return self.recipe.runtime in {"eager", "inductor", "torch_generation"} and not self.has("pt2e_int8")

    def has(self, word: str) -> bool:
        """Whether a step of the recipe has the word among its transforms."""
        return any(word in step.transforms for step in self.recipe.steps)

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions that the deployment needs."""
        source = SOURCE_PACKAGES[models.source_of(self.bench.model.name)] if self.has_module and not self.language else ()
        unused = {"safetensors"} if self.has("pt2e_int8") else set()
        of_texts = self.language.packages if self.language else ()
        return tuple(name for name in (*self.deployed.packages, *source, *of_texts) if name not in unused)

    @property
    def deployed(self) -> Deployed:
        """What the deployment consists of. Raises CannotMeasure where none is written for the runtime."""
        found = deployed(self.recipe.runtime)
        if found is None:
            raise CannotMeasure(
                f"no deployment is written for {self.recipe.runtime}: choose among other steps with --step, or serve its program by a "
                "server of your own"
            )
        compiler = deployed("inductor") if found.generates and self.has("compile") else None
        if compiler is None:
            return found
        return replace(found, packages=tuple(dict.fromkeys((*found.packages, *compiler.packages))), system=compiler.system)


def recipe_of(measurement: Measurement) -> Recipe:
    """Return the recipe of a saved record. Raises CannotMeasure."""
    try:
        return recorded(
            measurement.recipe, batch_size=measurement.batch_size, workers=measurement.workers, threads=measurement.threads or 1
        )
    except UnknownRecipe as error:
        raise CannotMeasure(f"{measurement.step} on {measurement.model} cannot be emitted: {error}") from error


def emit(emission: Emission, folder: Path) -> None:
    """Write the deployment to `folder`, whole or not at all. Raises CannotMeasure, and OSError."""
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotMeasure(f"--emit {folder}: is there already; name a folder that does not exist yet")
    check_folder("--emit", folder)
    if any(step.preload == "openmp" for step in emission.recipe.steps):
        raise CannotMeasure(
            f"{emission.recipe.step.name} preloads an OpenMP runtime that is installed here, and a deployment cannot prove which one runs "
            "its threads: emit the recipe below it, and set LD_PRELOAD where it is served"
        )
    emission = replace(emission, language=_language(emission))
    _check_same(emission)
    try:
        job, artifact, reference = emission.bench.rig.prepare(emission.recipe, emission.bench.model)
    except ServingError as error:
        raise CannotMeasure(f"{error.step} could not be built: {str(error).splitlines()[0]}") from error
    if job.inputs is not None and emission.language is None:
        raise CannotMeasure(
            f"{job.model.name} has inputs of its own, and deployments are written for models that take images of --image-size alone; "
            "serve its file in the artifact cache by a server of your own (docs/deploying.md)"
        )
    _check_outputs(emission, reference)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        written = Path(temporary, "deployment")
        (written / "artifact").mkdir(parents=True)
        written.chmod(0o755)
        _write_artifact(emission, job, artifact.folder if artifact else None, written)
        _write_code(emission, written)
        _write_sample(job, reference, written / "sample.npz")
        _write_texts(emission, job, written, folder.name)
        if folder.exists():
            folder.rmdir()
        written.rename(folder)


def _language(emission: Emission) -> Language | None:
    """Return the language of a model that generates text, None for all others. Raises CannotMeasure, and ModelError."""
    found, recipe, winner = emission.deployed, emission.recipe, emission.measurement
    words = [word for step in recipe.steps for word in step.transforms if word in found.but]
    if words:
        raise CannotMeasure(
            f"no deployment is written for {winner.step} ({', '.join(words)}): choose among other steps with --step, or serve it by a "
            "server of your own"
        )
    if not found.generates:
        return None
    if winner.batch_size != 1:
        raise CannotMeasure(
            f"{winner.model} was measured with {winner.batch_size} texts at once, and a deployment generates one text at a time: name a "
            "point of one text with --model, or measure one with `pytest benchmarks/ --generation decode-512x1`"
        )
    model = emission.bench.model
    language = language_of(model)
    if emission.has("static_cache"):
        return replace(language, context=model.longest + SPARE)  # the room that attention read when it was measured
    if found.room is not None:
        return replace(language, context=min(language.context, found.room(model)))
    return language


def _write_sample(job: Job, reference: Reference, file: Path) -> None:
    """Write inputs and fp32's outputs: a batch of images, or all prompts of the reference with the tokens that follow them.

    Beside them stands the power of one sample's outputs, less what does not depend on the input: the mean of all samples. Beside a small
    batch stand further images for the check: one alone may lie so near the mean that its outputs hardly differ from a constant.
    """
    expected = next(iter(reference.outputs.values())).astype(np.float32)  # the first output, which a deployment answers with
    power = signal_of(expected, centred=True).power
    if reference.inputs is not None:
        rows = samples.load_named(reference.inputs / samples.SAMPLES)
        np.savez(file, input_0=rows[PROMPTS], input_1=rows[CONTINUATION], expected=expected, power=power)
    else:
        batch = job.batch_size
        images = random_images(max(batch, min(len(expected), LEAST_SAMPLES)), job.model.image)
        further, answers = images[batch:], expected[batch : len(images)]
        np.savez(file, input_0=images[:batch], expected=expected[:batch], power=power, further=further, further_expected=answers)


def _check_outputs(emission: Emission, reference: Reference) -> None:
    """Refuse a model whose fp32 outputs are not those of the record; a record from before they were kept tells nothing."""
    recorded, found = emission.measurement.reference, reference.few()
    for name, values in recorded.items():
        now = found.get(name, [])
        scale = max(map(abs, values), default=0.0)
        if len(now) != len(values) or any(abs(a - b) > REFERENCE_TOLERANCE * scale for a, b in zip(values, now, strict=True)):
            raise CannotMeasure(
                f"{emission.bench.model.name} as it is here has other fp32 outputs than run {emission.run.name} recorded "
                f"({name}: {now[:3]} here, {list(values[:3])} there): its code or weights changed; measure anew with `pytest benchmarks/`"
            )


def _check_same(emission: Emission) -> None:
    """Refuse another machine, other versions, and other weights than those that were measured."""
    from fixtures.machine import this_machine

    run, measurement, model = emission.run, emission.measurement, emission.bench.model
    here = this_machine().fingerprint()
    if lacking := missing_identity(run.fingerprint):
        raise CannotMeasure(
            f"run {run.name} does not say which machine it is of (no {', '.join(lacking)}), so it counts as another machine's: "
            "measure on this one with `pytest benchmarks/ --benchmark-autosave`"
        )
    then = {name: value for name, value in run.fingerprint.items() if name in here}
    if different := machine_differences(then, {name: value for name, value in here.items() if name in then}):
        first = different[0]
        raise CannotMeasure(
            f"run {run.name} is of another machine ({first.field}: {first.base} there, {first.head} here): "
            "emit on the machine that was measured, or measure on this one"
        )
    check_versions(emission.packages, run.fingerprint.get("versions", {}))
    if measurement.weights.startswith("pretrained") != model.pretrained:
        raise CannotMeasure(f"the record was measured with {measurement.weights} weights: name the same (--pretrained, or not)")
    if not measurement.weights.startswith(("random", "pretrained")) and measurement.weights != models.weights_of(model):
        found = f"has the digest {model.weights_digest}" if model.weights else "is missing"
        raise CannotMeasure(f"the record was measured with weights of digest {measurement.weights}: --weights {found}; name that file")
    if measurement.weights.startswith("random") and model.weights:
        raise CannotMeasure(f"the record was measured with {measurement.weights} weights: leave --weights out, or measure with that file")
    check_calibration(emission.recipe, measurement.calibration, emission.bench.rig.calibrated_with)


def check_versions(packages: Sequence[str], measured: Mapping[str, object]) -> None:
    """Raise CannotMeasure where a package that the deployment needs is not installed, or is another release than was measured."""
    here = {name: release(found) for name, found in installed(tuple(packages)).items()}
    then = {name: release(str(measured.get(name, "no version"))) for name in packages if name in PACKAGES_RECORDED}
    others = [f"{name} is not installed" for name in packages if name not in here]
    others += [f"{name} {here[name]} is installed, {was} was measured" for name, was in then.items() if here.get(name, was) != was]
    if others:
        raise CannotMeasure(f"{'; '.join(others)}: install what was measured, or measure anew with `pytest benchmarks/`")


def check_calibration(recipe: Recipe, measured: str, named: str) -> None:
    """Raise CannotMeasure where the recipe has an INT8 that would be calibrated with other samples than were measured, told by digests."""
    measured, named = (digest or RANDOM for digest in (measured, named))
    if measured == named or not any(CALIBRATED & {*step.transforms} for step in recipe.steps):
        return
    if measured == RANDOM:
        raise CannotMeasure("the record was calibrated with random samples: leave --int8-images and --int8-texts out")
    raise CannotMeasure(
        "the record was calibrated with other images or texts: name the same --int8-images (and --preprocess), or --int8-texts"
    )


def _write_artifact(emission: Emission, job: Job, prepared: Path | None, folder: Path) -> None:
    """Copy what runs, and only that: no compiler's cache, and nothing that has to be unpickled."""
    target = folder / "artifact"
    if emission.has_module:
        save_weights(models.plain(job.model), target / "weights.safetensors")
        if emission.language:
            (target / "config.json").write_text(emission.language.config)
    elif emission.recipe.runtime == "inductor":
        assert prepared is not None
        _write_graph(prepared / "model.pt2", target / "model.pt2")
    else:
        assert prepared is not None
        for pattern in emission.deployed.artifact:
            for file in prepared.glob(pattern):
                shutil.copyfile(file, target / file.name)
    if "runtime_onnxruntime.py" in emission.deployed.files:
        from fixtures.runtimes.onnxruntime import product_model

        (target / "product.onnx").write_bytes(product_model(thread_work.product_side(job.threads)))


def save_weights(module: "nn.Module", file: Path) -> None:
    """Write all weights of a module, those that are one tensor under several names once. Raises CannotMeasure.

    Views of others are written as tensors of their own, which safetensors' own `save_model` refuses.
    """
    import torch
    from safetensors.torch import save_file

    state: dict[str, torch.Tensor] = {}
    seen, storages = set(), set()
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise CannotMeasure(
                f"the model keeps a {type(value).__name__} under {name!r} beside its weights, which safetensors cannot hold: choose a step "
                "of another runtime with --step"
            )
        place = (value.data_ptr(), value.dtype, value.shape, value.stride())
        if value.numel() and place in seen:
            continue
        seen.add(place)
        storage = value.untyped_storage()
        is_whole = value.is_contiguous() and storage.nbytes() == value.nbytes and storage.data_ptr() not in storages
        storages.add(storage.data_ptr())
        state[name] = value.detach() if is_whole else value.detach().clone(memory_format=torch.contiguous_format)
    save_file(state, file, {"format": "pt"})


def _write_graph(source: Path, target: Path) -> None:
    """Copy an exported graph without its example inputs: the only part that torch pickles, and one that may be empty."""
    with zipfile.ZipFile(source) as graph, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
        for entry in graph.infolist():
            copy.writestr(entry.filename, b"" if "/sample_inputs/" in entry.filename else graph.read(entry))


def _write_code(emission: Emission, folder: Path) -> None:
    session, *others = emission.deployed.files
    shutil.copyfile(EMITTED / session, folder / "runtime.py")
    for name in (*COMMON, *(OF_TEXT if emission.language else OF_TENSORS), *others):
        shutil.copyfile(EMITTED / name, folder / Path(name).name)
    if emission.language:
        emission.language.write(folder / "tokenizer")
    for module in CARRIED:
        _carry(module, folder)
    if "onednn.py" in others:
        _carry(kernels, folder, REPORTED_KERNELS)
    if not emission.has_module:
        return
    if emission.language:
        _carry(torchvision_import, folder)
        return
    source = models.source_of(emission.bench.model.name)
    shutil.copyfile(EMITTED / f"architecture_{source}.py", folder / "architecture.py")
    if source == "code":
        _copy_code(emission.bench.model.name.rpartition(":")[0], folder)
    else:
        _carry(torchvision_import, folder)


def _carry(module: ModuleType, folder: Path, name: str | None = None) -> None:
    """Copy a module of the suite that needs nothing else of it, by its own name or another one."""
    file = Path(str(module.__file__))
    (folder / (name or file.name)).write_text(file.read_text().replace("from fixtures.machine.", "from "))


def _copy_code(place: str, folder: Path) -> None:
    """Copy a model's own module or file, or its whole package; what it imports beside it is not found here."""
    from importlib.machinery import PathFinder

    file = Path(place)
    module, paths = (file.stem, [str(file.parent)]) if place.endswith(".py") else (place.partition(".")[0], [str(Path.cwd()), *sys.path])
    spec = PathFinder.find_spec(module, paths)
    if spec is None or (folder / f"{module}.py").exists() or (spec.submodule_search_locations and (folder / module).exists()):
        raise CannotMeasure(f"the model's module {module!r} cannot be copied: rename it, or put its folder on PYTHONPATH")
    if spec.submodule_search_locations:
        shutil.copytree(next(iter(spec.submodule_search_locations)), folder / module, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copyfile(str(spec.origin), folder / f"{module}.py")


def _write_texts(emission: Emission, job: Job, folder: Path, name: str) -> None:
    deployment = describe(emission, job)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
    packages = contents.system_packages(deployment["allocator"], emission.deployed.system)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    sentence, figures = emission.recipe.step.changes, _figures(emission)
    if emission.language is None:
        readme = contents.readme(deployment, sentence, figures, packages)
    else:
        readme = language_readme(deployment, emission.language, sentence, figures, packages)
    texts = {
        "deployment.json": json.dumps(deployment, indent=1) + "\n",
        "requirements.txt": contents.requirements(locked.requirements(deployment["versions"])),
        "environment": contents.environment_file(deployment["environment"]),
        "run.sh": contents.run_script(job.workers),
        f"{slug}@.service": contents.unit(deployment, slug),
        "Dockerfile": contents.dockerfile(deployment, slug, packages, python),
        ".dockerignore": contents.DOCKERIGNORE,
        "README.md": readme,
    }
    for file, text in texts.items():
        (folder / file).write_text(text)
    (folder / "run.sh").chmod(0o755)


def _figures(emission: Emission) -> str:
    winner = emission.measurement
    if emission.language:
        return f"{figures_text(emission.recommendation.winner)} against fp32 PyTorch"
    return (
        f"{per_second(winner.samples_per_second)} samples per second, p50 {milliseconds(winner.latency_p50_s)} ms and {p99_text(winner)}, "
        f"calls of {winner.batch_size}, {sqnr(winner.sqnr_db)} against fp32 PyTorch"
    )


def _architecture(emission: Emission, job: Job) -> dict[str, object]:
    """Return what `architecture.py` builds the module by; the name is its source's own, or MODULE:FUNCTION of its own code."""
    name = job.model.name.partition(":")[2]
    if models.source_of(job.model.name) == "code":
        place, _, function = job.model.name.rpartition(":")
        name = f"{Path(place).stem if place.endswith('.py') else place}:{function}"
    return {
        "name": name,
        "image": job.model.image.dimensions,
        "classes": emission.bench.rig.build(job.model).classes,
        "pretrained": job.model.pretrained,
        "seed": job.model.seed,
    }


def describe(emission: Emission, job: Job) -> dict[str, Any]:
    """Return what model.py serves and check.py holds it to, ready for JSON; names of the run's own as text that no terminal obeys."""
    recipe, measurement, winner = emission.recipe, emission.measurement, emission.recommendation.winner
    interval = winner.fresh_process
    model = {} if emission.language is None else {"model": emission.bench.model_id} | emission.language.data()
    return {
        "model": measurement.model,
        "step": plain(measurement.step),
        "recipe": [step.name for step in recipe.steps],
        "run": plain(emission.run.name),
        "machine": plain(machine_name(emission.run.fingerprint)),
        "architecture_of_cpu": str(emission.run.fingerprint.get("architecture", "unknown")),
        "architecture": None if emission.language else _architecture(emission, job),
        "runtime": job.runtime,
        "precision": job.precision,
        "transforms": list(job.transforms),
        "settings": job.settings,
        "settings_in_force": _in_force(measurement, job),
        "batch_size": job.batch_size,
        "threads": job.threads,
        "workers": job.workers,
        "pinned": job.pinned,
        "environment": recipe.environment,
        "allocator": _allocator(recipe),
        "huge_pages": _huge_pages(recipe),
        "versions": {name: release(version(name)) for name in emission.packages},
        "kernels": _kernels(measurement),
        "least_sqnr_db": recipe.least_sqnr_db,
        "unit": "tokens" if emission.language else "samples",
        "throughput": {
            "samples_per_second": measurement.samples_per_second,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "processes": len(winner.processes),
        },
    } | model  # fmt: skip


def _in_force(measurement: Measurement, job: Job) -> dict[str, str]:
    """Return the runtime's settings as they were read back when the recipe was proved; of ONNX Runtime those that the recipe sets."""
    is_openvino = job.runtime.startswith("openvino")
    return {name: str(value) for name, value in measurement.settings.items() if is_openvino or name in job.settings}


def _allocator(recipe: Recipe) -> str | None:
    """Name the allocator that the recipe preloads."""
    preloaded = Path(recipe.environment.get(PRELOAD, "")).name
    return next((name for name in ALLOCATORS if name in preloaded), None)


def _huge_pages(recipe: Recipe) -> str | None:
    """Say which huge pages the recipe claims: those that are asked for, or those of the kernel's reserve."""
    subjects = {claim.subject for claim in recipe.claims}
    return "reserved" if "reserved pages" in subjects else "requested" if "pages" in subjects else None


def _kernels(measurement: Measurement) -> dict[str, object] | None:
    """Return the precision that layers spent most of their time in, and how much of it must be seen again; None where no layer was seen.

    check.py sees the kernels of layers (with OpenVINO those of attention, too), whatever share of all time they have. In generated text the
    calls of products count: in a step that takes one token all others may take longer.
    """
    is_text = measurement.generation is not None
    spent: dict[str, float] = {}
    for kernel in measurement.kernels:
        if kernel.operation == "matmul" or (kernel.operation in kernels.HEAVY and not is_text):
            spent[kernel.precision] = spent.get(kernel.precision, 0.0) + (kernel.count if is_text else kernel.time_s)
    total = sum(spent.values())
    if not total:
        return None
    precision = max(spent, key=lambda name: spent[name])
    return {"precision": precision, "least_share": round(KEPT_SHARE * spent[precision] / total, 3)}
