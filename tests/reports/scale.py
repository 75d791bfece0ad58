"""Time and memory of the commands on 1,000 saved runs of 60 benchmarks: `python -m tests.reports.scale [FOLDER]`."""

import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.reports.saved_runs import KERNELS, benchmark, save, saved_run

RUNS = 1000
BENCHMARKS = 60
MODELS = ("resnet50", "vit")
COMMANDS = (["list"], ["compare", "1", "latest"], ["history"], ["history", "--step", "step_3"])


def generate(storage: Path, runs: int = RUNS) -> None:
    """Save runs of about 0.6 MB; one run in full, the others with throughputs and times of their own set into its text."""
    noise = random.Random(0)
    steps = ["baseline", *(f"step_{number}" for number in range(1, BENCHMARKS // len(MODELS)))]
    marker_s = 0.123456789
    benchmarks = [
        benchmark(
            step,
            model=model,
            medians_s=(marker_s,) * 3,
            over="baseline" if step != "baseline" else None,
            over_medians_s=(0.1, 0.101, 0.102),
            rounds=60,
            kernels=[KERNELS[0] | {"implementation": f"brgconv:{number}"} for number in range(12)],
        )
        for model in MODELS
        for step in steps
    ]
    text = json.dumps(saved_run(benchmarks, commit="COMMIT", saved_at="SAVED"), indent=4)
    pieces = text.split(f'"own_median_s": {marker_s}')
    for number in range(1, runs + 1):
        level = 1.25 if number > runs // 2 else 1.0
        medians = (f'"own_median_s": {marker_s * level * noise.gauss(1, 0.03):.9f}' for _ in pieces[1:])
        whole = pieces[0] + "".join(median + piece for median, piece in zip(medians, pieces[1:], strict=True))
        throughput = f'"samples_per_second": {8 / marker_s / level * noise.gauss(1, 0.03):.6f}'
        whole = whole.replace(f'"samples_per_second": {8 / marker_s}', throughput)
        saved_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=6 * number)
        save(storage, number, whole.replace("COMMIT", f"{number:040x}").replace("SAVED", saved_at.isoformat()))


def main() -> None:
    """Generate the runs unless the folder has them, and print wall time and peak memory of each command."""
    with tempfile.TemporaryDirectory() as temporary:
        storage = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        if not any(storage.rglob("*.json")):
            generate(storage)
        size = sum(path.stat().st_size for path in storage.rglob("*.json"))
        print(f"{RUNS} runs of {BENCHMARKS} benchmarks, {size / 1e9:.2f} GB")
        for command in COMMANDS:
            code = "import resource, sys; from reports.__main__ import main; main(); "
            code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)"
            began_s = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", code, *command, "--storage", str(storage)], capture_output=True, text=True, check=True
            )
            print(f"{' '.join(command):24} {time.perf_counter() - began_s:5.2f} s {float(done.stderr):6.0f} MB")


if __name__ == "__main__":
    main()
