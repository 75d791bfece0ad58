"""OpenVINO's own benchmark_app with its throughput hint, on the very model file that the suite serves."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reports.statistics.latency import FEWEST_FOR_P99

PROGRAM = "from openvino.tools.benchmark.main import main; main()"
GRACE_S = 180


class BenchmarkAppError(Exception):
    """benchmark_app did not give a throughput; the message has its last words."""


@dataclass(frozen=True, kw_only=True)
class AppRun:
    """What one run of benchmark_app says: samples per second, and the p99 of a request in seconds; None where too few tell one."""

    samples_per_second: float
    latency_p99_s: float | None


def command(model: Path, seconds: int) -> list[str]:
    """Return the command line: the throughput hint, all else as benchmark_app has it, and no module of the current folder."""
    options = ["-m", str(model), "-d", "CPU", "-hint", "throughput", "-t", str(seconds), "-latency_percentile", "99"]
    return [sys.executable, "-P", "-c", PROGRAM, *options]


def run(model: Path, seconds: int, environment: Mapping[str, str]) -> AppRun:
    """Run benchmark_app for about `seconds`. Raises BenchmarkAppError."""
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and openvino's own program
            command(model, seconds),
            env=dict(environment),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + GRACE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkAppError(f"OpenVINO's benchmark_app could not be run: {error}") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise BenchmarkAppError(f"OpenVINO's benchmark_app ended with status {done.returncode}: {' '.join(words)}")
    return parse(done.stdout)


def parse(text: str) -> AppRun:
    """Read what benchmark_app prints at its end. Raises BenchmarkAppError where it has no throughput."""
    throughput = re.search(r"Throughput:\s+([\d.]+)\s*FPS", text)
    if throughput is None:
        raise BenchmarkAppError(
            "OpenVINO's benchmark_app printed no throughput that this suite can read; install a release that constraints.txt has"
        )
    percentile = re.search(r"99 percentile:\s+([\d.]+)\s*ms", text)
    count = re.search(r"Count:\s+(\d+)\s*iterations", text)
    too_few = count is not None and int(count[1]) < FEWEST_FOR_P99
    p99_s = None if percentile is None or too_few else float(percentile[1]) / 1000
    return AppRun(samples_per_second=float(throughput[1]), latency_p99_s=p99_s)
