"""`python -m emulation graviton3`: prove every step of the ladder on an emulated (or this very) Arm CPU.

On an aarch64 machine the same tests run natively, whichever generation was named.
"""

import argparse
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from emulation import IMAGE_SIZE, LONGEST_ANSWER_S, VIT_IMAGE_SIZE, debian, guest, page
from emulation import root as roots
from emulation.debian import SetupError
from fixtures.bench.proofs import Proofs, merged

UNSIGNED = "pauth=off"  # return addresses are not signed, of which no library takes notice: Python is 1.6 times as fast
CPUS = {"graviton2": "neoverse-n1", "graviton3": f"neoverse-v1,{UNSIGNED}", "graviton4": f"neoverse-n2,{UNSIGNED}"}
MODELS = {"emulation.models:resnet": IMAGE_SIZE, "emulation.models:vit": VIT_IMAGE_SIZE}
GENERATING = "transformers:./emulation/llama"  # two blocks with drawn weights, in sizes that kernels of 4 bits take
BATCH_SIZE = "2"  # an emulated reference kernel takes a minute for eight images
# A third of the work. Kernels are those of batch_2 and batch_8, but for the head of the ResNet, which oneDNN computes from 16 images on.
LEFT_OUT = ("batch_4", "batch_16", "batch_32", "batch_64")
RESULTS = Path(".cache/graviton")
SOME_FAILED = 1  # pytest's exit status


def main() -> int:
    """Run the ladder's steps and the Arm tests on one CPU; return 0 where all hold."""
    parser = argparse.ArgumentParser(prog="python -m emulation", description=__doc__)
    parser.add_argument("graviton", choices=CPUS, help="Graviton to emulate")
    parser.add_argument(
        "--step",
        action="append",
        default=[],
        metavar="NAME",
        help="prove this step only, repeatable; the page is left as it is (default: all)",
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help=f"take this model only, repeatable (default: {', '.join(MODELS)})"
    )
    parser.add_argument(
        "--generation",
        metavar="POINT",
        help=f"prove steps of text generation at this point, for example decode-8x1; the page is left as it is (model: {GENERATING})",
    )
    parser.add_argument("--set-up", action="store_true", help="make the set-up only")
    parser.add_argument(
        "--skip-without-mirror", action="store_true", help="do nothing, and say why, where no mirror with Debian's packages is known"
    )
    options = parser.parse_args()
    if options.skip_without_mirror and (reason := _no_mirror()):
        print(f"skipped: {reason}")
        return 0
    try:
        return _run(options)
    except SetupError as error:
        print(f"emulated Graviton: {error}", file=sys.stderr)
        return 2


def _no_mirror() -> str:
    """Return why the packages of an emulated root cannot be fetched here; empty where they can, or none are needed."""
    if platform.machine() == "aarch64":
        return ""
    try:
        debian.architecture()
        debian.mirror()
    except SetupError as error:
        return str(error)
    return ""


def _run(options: argparse.Namespace) -> int:
    if options.set_up:
        return _arm(["true"], options.graviton)
    whole = not options.step and not options.model and not options.generation
    folder = RESULTS / options.graviton / ("whole" if whole else "part")
    (guest.CHECKOUT / folder).mkdir(parents=True, exist_ok=True)
    models = options.model or ([GENERATING] if options.generation else list(MODELS))
    if platform.machine() != "aarch64":
        roots.cached_root()
    # Side by side, a session for each model and one for what must be refused: nothing is timed, and most of the work is on one thread.
    sessions: list[Callable[[], int]] = [partial(_prove, model, options, folder) for model in models]
    sessions += [partial(_pytest, ["tests/arm", "-m", "nightly"], options.graviton)] if whole else []
    with ThreadPoolExecutor(len(sessions)) as pool:
        statuses: list[int] = list(pool.map(lambda session: session(), sessions))
    if max(statuses) > SOME_FAILED:
        return max(statuses)
    proofs = folder / "proofs.json"
    merged([Proofs.read(guest.CHECKOUT / _proofs_of(model, folder)) for model in models]).write(guest.CHECKOUT / proofs)
    # Which steps must fail on this CPU is for the tests to say.
    wrong = statuses[len(models) :]
    status = max([*wrong, _pytest(["tests/arm", "--arm-proofs", str(proofs), "-rs", "-m", "not nightly"], options.graviton)])
    if whole and platform.machine() != "aarch64":
        page.update(options.graviton, guest.CHECKOUT / proofs)
    return status


def _prove(model: str, options: argparse.Namespace, folder: Path) -> int:
    proofs = _proofs_of(model, folder)
    (guest.CHECKOUT / proofs).unlink(missing_ok=True)
    steps = [word for step in options.step for word in ("--step", step)] or ["-k", " and ".join(f"not {name}" for name in LEFT_OUT)]
    artifacts = RESULTS / options.graviton / "artifacts" / _file_name(model)
    sizes = ["--image-size", str(MODELS.get(model, IMAGE_SIZE)), "--batch-size", BATCH_SIZE]
    point = ["--generation", options.generation] if options.generation else sizes
    limits = ["--worker-timeout", str(LONGEST_ANSWER_S)]
    places = ["--proofs", str(proofs), "--artifact-cache", str(artifacts)]
    return _pytest(["benchmarks/", "--model", model, *point, *steps, *places, *limits], options.graviton)


def _proofs_of(model: str, folder: Path) -> Path:
    return folder / f"{_file_name(model)}.json"


def _file_name(model: str) -> str:
    return re.sub(r"\W+", ".", model)


def _pytest(words: list[str], graviton: str) -> int:
    """Run pytest on the Arm CPU and return its status."""
    python = sys.executable if platform.machine() == "aarch64" else "python3"
    return _arm(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={LONGEST_ANSWER_S}", *words], graviton
    )


def _arm(command: list[str], graviton: str) -> int:
    """Run a command on the Arm CPU and return its status; one that a signal ended has the status that shells give it: no success."""
    if platform.machine() == "aarch64":
        status = subprocess.run(command, cwd=guest.CHECKOUT, check=False).returncode  # noqa: S603 - this very suite
    else:
        status = guest.run(command, CPUS[graviton])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
