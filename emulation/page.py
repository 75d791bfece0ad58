"""docs/results/graviton-emulated.md: what each step did on each emulated CPU, rendered from the proofs kept beside it."""

from pathlib import Path

from fixtures.bench.proofs import Proofs, StepProof
from reports.text.markdown import table

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
PAGE = RESULTS / "graviton-emulated.md"
PROOFS = RESULTS / "graviton-emulated"
GENERATIONS = ("graviton2", "graviton3", "graviton4")
SHARE_SHOWN = 0.01

HEAD = """\
# Every step on emulated Gravitons

Written by `tox -e graviton2`, `graviton3` and `graviton4`; do not edit. What the rows stand on is in `docs/results/graviton-emulated/`.

QEMU's user mode runs the aarch64 wheels of PyTorch, ONNX Runtime and OpenVINO and gives them the features of a Neoverse core. So the
libraries choose the kernels that they choose on that core. **Nothing was timed**: under emulation times mean nothing. Shares are those of
the emulated kernel time, by which only a reference kernel or a wrong precision can be told. What the outcomes mean stands in
[graviton.md](../graviton.md). The models are a ResNet of two bottleneck blocks, with images of 32 pixels, and ViT-Ti with
one of its twelve blocks, with images of 16 (`emulation/models.py`).
"""


def update(generation: str, proofs: Path) -> None:
    """Keep the proofs of one CPU and write the page anew from all that are kept."""
    PROOFS.mkdir(exist_ok=True)
    Proofs.read(proofs).write(PROOFS / f"{generation}.json")
    PAGE.write_text(render(kept()))


def kept() -> dict[str, Proofs]:
    """Return the kept proofs by generation, the oldest first."""
    files = {generation: PROOFS / f"{generation}.json" for generation in GENERATIONS}
    return {generation: Proofs.read(file) for generation, file in files.items() if file.exists()}


def render(proofs: dict[str, Proofs]) -> str:
    """Return the page."""
    parts = [HEAD, _differences(proofs)]
    for generation, each in proofs.items():
        parts.append(_section(generation, each))
    return "\n".join(parts)


def _section(generation: str, proofs: Proofs) -> str:
    fingerprint = proofs.fingerprint
    versions = ", ".join(f"{name} {version}" for name, version in fingerprint["versions"].items())
    lines = [
        f"## {generation.capitalize()}: {fingerprint['cpu_model']}",
        "",
        f"CPU part {fingerprint['cpu_part']}; {', '.join(fingerprint['features'])}. Batch {proofs.batch_size} after the sweep. "
        f"Python {fingerprint['python']}, {versions}.",
        "",
    ]
    for model in dict.fromkeys(step.model for step in proofs.steps):
        steps = [step for step in proofs.steps if step.model == model]
        lines += [f"### {model}", ""]
        cells = (
            (s.step, s.outcome, _kernels(s), _shares(s.precision_share), "" if s.sqnr_db is None else f"{s.sqnr_db:.1f}") for s in steps
        )
        lines.append(table(("step", "outcome", "kernels of convolutions and matrix products", "precision share", "SQNR dB"), *cells))
        told = [(s.step, text) for s in steps for text in ([f"{s.outcome}: {s.reason}"] if s.reason else s.findings)]
        if told:
            lines += ["", *(f"- **{step}** {text}" for step, text in told)]
        lines.append("")
    return "\n".join(lines)


def _differences(proofs: dict[str, Proofs]) -> str:
    generations = list(proofs)
    rows = []
    keys = dict.fromkeys((step.model, step.step) for each in proofs.values() for step in each.steps)
    for model, step in keys:
        cells = [_summary(each, model, step) for each in proofs.values()]
        if len(set(cells)) > 1:
            rows.append((model, step, *cells))
    lines = ["## What differs between the generations", ""]
    if not rows:
        return "\n".join([*lines, *(["Nothing.", ""] if len(proofs) > 1 else [])])
    lines.append(table(("model", "step", *generations), *rows))
    return "\n".join([*lines, "", "All other steps ended alike, with the same kernels.", ""])


def _summary(proofs: Proofs, model: str, step: str) -> str:
    try:
        found = proofs.of(model, step)
    except KeyError:
        return "not run"
    families = sorted({f"{use.implementation} {use.precision}" for use in found.kernels})
    return found.outcome if found.outcome != "proved" else ", ".join(families) or "proved"


def _kernels(step: StepProof) -> str:
    """Kinds of kernels by how often they ran, those of next to no time left out."""
    shown = [use for use in step.kernels if use.share >= SHARE_SHOWN]
    parts = []
    for operation in dict.fromkeys(use.operation for use in shown):
        uses = [f"{use.count} x {use.implementation} {use.precision}" for use in shown if use.operation == operation]
        parts.append(f"{operation}: {', '.join(uses)}")
    return "; ".join(parts)


def _shares(share: dict[str, float]) -> str:
    return ", ".join(f"{precision} {value:.0%}" for precision, value in share.items() if value >= SHARE_SHOWN)
