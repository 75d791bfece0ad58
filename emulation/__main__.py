"""`python -m emulation graviton3`: prove every step of the ladder on an emulated (or this very) Arm CPU.

On an aarch64 machine the same tests run natively, whichever generation was named.
"""

import argparse
import platform
import subprocess
import sys
from pathlib import Path

from emulation import guest, page
from emulation.debian import SetupError

CPUS = {"graviton2": "neoverse-n1", "graviton3": "neoverse-v1", "graviton4": "neoverse-n2"}
# A ResNet of bottleneck blocks and a ViT with weights of 2 MiB and more, small enough for an emulator.
MODELS = ("timm:resnet26", "timm:vit_small_patch32_224")
IMAGE_SIZE = 64
RESULTS = Path(".cache/graviton")
SOME_FAILED = 1  # pytest's exit status


def main() -> int:
    """Run the ladder's steps and the Arm tests on one CPU; return 0 where all hold."""
    parser = argparse.ArgumentParser(prog="python -m emulation", description=__doc__)
    parser.add_argument("graviton", choices=CPUS)
    parser.add_argument("--step", action="append", default=[], metavar="NAME", help="only these steps; the page is left as it is")
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help=f"only these models (default: {', '.join(MODELS)})")
    parser.add_argument("--set-up", action="store_true", help="only make the cached root")
    options = parser.parse_args()
    try:
        return _run(options)
    except SetupError as error:
        print(f"emulated Graviton: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    if options.set_up:
        return _arm(["true"], options.graviton)
    whole = not options.step and not options.model
    folder = guest.CHECKOUT / RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    proofs = RESULTS / f"{options.graviton}{'' if whole else '-part'}.json"
    (guest.CHECKOUT / proofs).unlink(missing_ok=True)
    words = [word for model in options.model or MODELS for word in ("--model", model)]
    words += [word for step in options.step for word in ("--step", step)]
    words += ["--image-size", str(IMAGE_SIZE), "--proofs", str(proofs), "--artifact-cache", str(RESULTS / "artifacts" / options.graviton)]
    proved = _pytest(["benchmarks/", *words], options.graviton)
    if proved not in (0, SOME_FAILED):
        return proved
    # Which steps must fail on this CPU is for the tests to say.
    held = _pytest(["tests/arm", "--arm-proofs", str(proofs), "-rs"], options.graviton)
    if whole and platform.machine() != "aarch64":
        page.update(options.graviton, guest.CHECKOUT / proofs)
    return held


def _pytest(words: list[str], graviton: str) -> int:
    """Run pytest on the Arm CPU and return its status."""
    python = sys.executable if platform.machine() == "aarch64" else "python3"
    return _arm([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words], graviton)


def _arm(command: list[str], graviton: str) -> int:
    if platform.machine() == "aarch64":
        return subprocess.run(command, cwd=guest.CHECKOUT, check=False).returncode  # noqa: S603 - this very suite
    return guest.run(command, CPUS[graviton])


if __name__ == "__main__":
    sys.exit(main())
