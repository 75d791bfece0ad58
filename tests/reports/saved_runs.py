"""Saved runs as pytest-benchmark writes them, generated: the JSON of a whole session with chosen throughputs."""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reports.saved.load import measurements_from_records
from reports.saved.record import Gain, Measurement
from reports.statistics import Interval, paired_gain

MACHINE_ID = "Linux-CPython-3.11-64bit"
FINGERPRINT: dict[str, Any] = {
    "architecture": "aarch64",
    "cpu_model": "Neoverse-V2",
    "cpu_part": "0xd4f",
    "isa": ["asimd", "bf16", "i8mm", "sve2"],
    "vcpus": 4,
    "memory_bytes": 8 * 2**30,
    "instance_type": "c8g.xlarge",
    "emulated": False,
    "kernel": "6.12.1",
    "thp_mode": "madvise",
    "versions": {"torch": "2.13.0", "onnxruntime": "1.31.1", "openvino": "2026.2"},
}
KERNELS = (
    {
        "operation": "convolution",
        "implementation": "brgconv:sve_256",
        "precision": "bf16",
        "time_s": 0.05,
        "count": 53,
        "formats": "src:bf16:acdb",
    },
    {"operation": "matmul", "implementation": "gemm:acl", "precision": "f32", "time_s": 0.002, "count": 1, "formats": "src:f32:ab"},
)


def calls(p99_s: float | None, samples: int = 1000) -> dict[str, Any]:
    """Return what a record says of calls whose p99 is known for sure; of fewer than 299 no upper bound is."""
    return {
        "latency_p99_s": p99_s,
        "latency_max_s": p99_s,
        "latency_samples": samples,
        "latency_p99_low_s": p99_s,
        "latency_p99_high_s": p99_s if samples >= 299 else None,
    }


def benchmark(
    step: str = "baseline",
    *,
    model: str = "resnet50",
    medians_s: Sequence[float] = (0.1, 0.1, 0.1),
    over: str | None = None,
    over_medians_s: Sequence[float] = (),
    samples: int = 8,
    rounds: int = 5,
    **extra_info: Any,
) -> dict[str, Any]:
    """Return one saved benchmark whose processes had the medians `medians_s`; `extra_info` replaces fields of the record."""
    middle_s = sorted(medians_s)[len(medians_s) // 2]
    gain = None
    if over is not None:
        found = paired_gain(medians_s, over_medians_s)
        gain = {"over": over, "ratio": found.ratio, "low": found.low, "high": found.high, "verdict": found.verdict}
    record = {
        "model": model,
        "step": step,
        "family": "memory",
        "runtime": "eager",
        "precision": "bf16",
        "batch_size": samples,
        "input_shape": [samples, 3, 224, 224],
        "threads": 4,
        "workers": 1,
        "samples_per_round": samples,
        "over_samples_per_round": samples if over is not None else None,
        "samples_per_second": samples / middle_s,
        "latency_p50_s": middle_s,
        "latency_p90_s": middle_s * 1.05,
        **calls(extra_info.get("latency_p99_s", middle_s * 1.1)),
        "cold_start_s": 3.2,
        "build_s": 0.4,
        "peak_rss_bytes": 900 * 2**20,
        "artifact_bytes": None,
        "sqnr_db": 43.21,
        "cosine": 0.9999,
        "max_abs_error": 0.01,
        "top1_agreement": 0.98449,
        "top1_low": 0.9167,
        "top1_high": 0.9997,
        "compared_samples": 64,
        "precision_share": {"bf16": 0.96, "f32": 0.04},
        "evidence": [{"claim": "bf16 kernels", "observed": "bf16 96 % of kernel time", "holds": True}],
        "gain": gain,
        "pairs": [{"own_median_s": own_s, "over_median_s": over_s} for own_s, over_s in zip(medians_s, over_medians_s, strict=False)],
        "environment": {"DNNL_DEFAULT_FPMATH_MODE": "BF16"},
        "host": {"load_1min": 1.2, "steal_share": 0.0},
        "left_out": [],
        "kernels": list(KERNELS),
        "complete": True,
    } | extra_info
    data_s = [middle_s * (1 + 0.01 * (i % 3)) for i in range(rounds)]
    return {
        "group": None,
        "name": f"test_memory[{model}-{step}]",
        "fullname": f"benchmarks/test_memory.py::test_memory[{model}-{step}]",
        "params": None,
        "param": f"{model}-{step}",
        "extra_info": record,
        "options": {"disable_gc": False, "timer": "perf_counter", "min_rounds": 5, "max_time": 1.0, "min_time": 5e-06, "warmup": False},
        "stats": {
            "min": min(data_s),
            "max": max(data_s),
            "mean": middle_s,
            "median": middle_s,
            "rounds": rounds,
            "data": data_s,
            "iterations": 1,
        },
    }


def measured(*benchmarks: dict[str, Any]) -> list[Measurement]:
    """Return the records of such benchmarks, read."""
    return measurements_from_records(each["extra_info"] for each in benchmarks)


def measurement(step: str = "baseline", **named: Any) -> Measurement:
    """Return the record of one of them."""
    return measured(benchmark(step, **named))[0]


def bounds(gain: Gain | None) -> Interval:
    """Return the interval of a gain, which must have one."""
    assert gain is not None
    assert gain.low is not None
    assert gain.high is not None
    return Interval(gain.low, gain.high)


def labelled(lost: int) -> dict[str, Any]:
    """Return an accuracy of 200 pictures of which `lost` more are wrong than with fp32."""
    found = {"pictures": 200, "top1": 0.9 - lost / 200, "reference_top1": 0.9, "difference": -lost / 200}
    return {"accuracy": found | {"low": -lost / 200 - 0.01, "high": -lost / 200 + 0.01}}


def metric(name: str, value: float, was: float) -> dict[str, Any]:
    """Return a metric of 64 samples that `was` such with fp32."""
    change = value - was
    bounded = {"difference": change, "low": change - 0.1, "high": change + 0.1}
    return {"name": name, "samples": 64, "value": value, "reference": was} | bounded


def ladder(*steps: str, model: str = "resnet50", gain: float = 1.2, first_s: float = 0.2, spread: float = 0.01) -> list[dict[str, Any]]:
    """Return benchmarks that build on one another, each `gain` times as fast as the one before, from three pairs each."""
    noise = random.Random(0)
    benchmarks = []
    for place, step in enumerate(steps):
        own_s = [first_s / gain**place * (1 + noise.gauss(0, spread)) for _ in range(3)]
        over_s = [first_s / gain ** (place - 1) * (1 + noise.gauss(0, spread)) for _ in range(3)]
        over = steps[place - 1] if place else None
        benchmarks.append(benchmark(step, model=model, medians_s=own_s, over=over, over_medians_s=over_s if over else ()))
    return benchmarks


def outcome(step: str, outcome: str, reason: str | None = None, remedy: str | None = None, *, model: str = "resnet50") -> dict[str, Any]:
    return {"model": model, "step": step, "outcome": outcome, "reason": reason, "remedy": remedy}


def saved_run(
    benchmarks: Iterable[dict[str, Any]],
    *,
    outcomes: Iterable[dict[str, Any]] | None = None,
    fingerprint: dict[str, Any] | None = None,
    commit: str = "0" * 40,
    saved_at: str = "2026-11-20T04:40:00+00:00",
    **top_level: Any,
) -> dict[str, Any]:
    """Return the JSON of one saved run; by default every benchmark of ours has the outcome "measured"."""
    benchmarks = list(benchmarks)
    if outcomes is None:
        outcomes = [
            outcome(b["extra_info"]["step"], "measured", model=b["extra_info"]["model"]) for b in benchmarks if "step" in b["extra_info"]
        ]
    return {
        "machine_info": {"node": "ip-10-0-0-1", "machine": "aarch64", "fingerprint": FINGERPRINT if fingerprint is None else fingerprint},
        "commit_info": {"id": commit, "time": saved_at, "author_time": saved_at, "dirty": False, "project": "main", "branch": "main"},
        "benchmarks": benchmarks,
        "outcomes": list(outcomes),
        "datetime": saved_at,
        "version": "5.3.1",
    } | top_level


def save(storage: Path, number: int, run: dict[str, Any] | str | bytes, *, name: str = "run", machine_id: str = MACHINE_ID) -> Path:
    """Write a run (or the raw text of a damaged one) where pytest-benchmark would, and return the file."""
    path = storage / machine_id / f"{number:04}_{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(run, dict):
        run = json.dumps(run, ensure_ascii=True, indent=4)
    path.write_bytes(run if isinstance(run, bytes) else run.encode())
    return path
