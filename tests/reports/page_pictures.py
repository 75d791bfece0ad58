"""The page of 100 generated runs of three machines, and a gate's result, to look at: `python -m tests.reports.page_pictures FOLDER`.

The runs are drawn, not measured: `DRAWN` stands in the names of their machines and commits, and none of their figures is one.
"""

import base64
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Judged, Verdict
from reports.gate.result import Row
from reports.gate.show.gate_tables import gate_csv, gate_html
from tests.gate.pairs import percent, result, row
from tests.reports.browser import REMEDY, chromium, missing, run, show
from tests.reports.saved_runs import FINGERPRINT, benchmark, outcome, save, saved_run

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

RUNS = 100
PAIRS = 3
LONGEST_S = 120
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
WIDTHS = (1200, 360)
TALLEST = 12_000  # CSS pixels; more is cut off
FLOPS = {"resnet50": 8.2e9, "vit": 35.1e9}
CHANGED_AT = 70  # from this run on `compile` is slower
CHANGE = 0.88
SQNR_DB = {"f32": 104.9, "bf16": 43.2, "int8": 21.3}


@dataclass(frozen=True)
class Drawn:
    """A machine that does not exist, and how fast its baseline is in images per second."""

    fingerprint: dict[str, Any]
    baseline: dict[str, float]
    peaks: dict[str, float]


MACHINES = (
    Drawn(
        FINGERPRINT | {"cpu_model": "DRAWN x86", "architecture": "x86_64", "vcpus": 2, "instance_type": "", "isa": ["avx2"]},
        {"resnet50": 6.0, "vit": 1.4},
        {"f32": 110e9, "int8": 200e9},
    ),
    Drawn(
        FINGERPRINT | {"cpu_model": "DRAWN Neoverse V1", "cpu_part": "0xd40", "instance_type": "c7g.xlarge"},
        {"resnet50": 10.0, "vit": 2.6},
        {"f32": 180e9, "bf16": 500e9, "int8": 900e9},
    ),
    Drawn(
        FINGERPRINT | {"cpu_model": "DRAWN Neoverse V2"},
        {"resnet50": 13.0, "vit": 3.3},
        {"f32": 230e9, "bf16": 640e9, "int8": 1200e9},
    ),
)
# step, the step below it, family, runtime, precision, gain
STEPS: tuple[tuple[str, str, str, str, str, float], ...] = (
    ("batch_8", "baseline", "batch", "eager", "f32", 1.15),
    ("channels_last", "batch_8", "memory_format", "eager", "f32", 1.12),
    ("bf16_autocast", "channels_last", "precision", "eager", "bf16", 1.8),
    ("tcmalloc", "bf16_autocast", "memory", "eager", "bf16", 1.002),
    ("compile", "bf16_autocast", "compile", "inductor", "bf16", 1.2),
    ("compile_freezing", "compile", "compile", "inductor", "bf16", 1.15),
    ("workers_pinned", "bf16_autocast", "workers", "eager", "bf16", 1.03),
    ("onnxruntime", "batch_8", "onnxruntime", "onnxruntime", "f32", 1.5),
    ("onnxruntime_int8", "onnxruntime", "onnxruntime", "onnxruntime", "int8", 1.4),
    ("openvino_fp32", "batch_8", "openvino", "openvino", "f32", 1.55),
    ("openvino_int8", "openvino_fp32", "openvino", "openvino", "int8", 1.9),
)
NOT_MEASURED = (
    ("huge_pages", "skipped", "mode always: the baseline has huge pages too", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
    ("primitive_cache", "skipped", "LRU_CACHE_CAPACITY=1024 is already the default: nothing would change", "none needed"),
    ("pt2e_int8", "failed", "step 'pt2e_int8': kernels are reference ones (gemm_s8u8s32:ref, 96 % of their time)", "docs/evidence.md"),
)


def main() -> int:
    """Write the runs, their pages and a gate's result, and take pictures of each."""
    if reason := missing():
        print(f"no pictures: {reason} -> {REMEDY}", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    storage = folder / "runs"
    if not storage.is_dir():
        write_runs(storage)
    newest = [str(RUNS - place) for place in range(len(MACHINES))][::-1]
    pages = [written(folder / "one.html", storage, newest[-1]), written(folder / "fleet.html", storage, *newest)]
    pages.append(written(folder / "all.html", storage, *map(str, range(1, RUNS + 1))))
    pages.append(folder / "gate.html")
    pages[-1].write_text(gate_page())
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as driver:
        for page in pages:
            print(*pictures(driver, page), sep="\n")
    if firefox := shutil.which("firefox-esr") or shutil.which("firefox"):
        print(*(in_firefox(firefox, page, width) for page in pages for width in WIDTHS), sep="\n")
    return 0


def write_runs(storage: Path, runs: int = RUNS) -> None:
    """Write runs of the machines in turn, oldest first."""
    for number in range(1, runs + 1):
        drawn = MACHINES[number % len(MACHINES)]
        save(storage, number, one_run(drawn, number))


def one_run(drawn: Drawn, number: int) -> dict[str, Any]:
    """Return a run of a machine that does not exist."""
    noise = random.Random(number)
    hour = noise.gauss(1, 0.02)  # all steps of a run share it
    benchmarks = [each for model in drawn.baseline for each in _ladder(drawn, model, number, hour, noise)]
    outcomes = [outcome(b["extra_info"]["step"], "measured", model=b["extra_info"]["model"]) for b in benchmarks]
    outcomes += [outcome(*each, model=model) for model in drawn.baseline for each in NOT_MEASURED]
    if "bf16" not in drawn.peaks:
        outcomes += [outcome("bf16_autocast", "skipped", "DRAWN x86 has no bf16", "run on Graviton3 or newer", model=m) for m in FLOPS]
    saved_at = (BEGIN + timedelta(hours=8 * number)).isoformat()
    peaks = [{"precision": name, "flops_per_second": peak, "trial": "", "kernel": ""} for name, peak in drawn.peaks.items()]
    calibration = {"threads": 4, "taken_at": saved_at, "peaks": peaks, "bandwidth_bytes_per_second": 40e9, "fingerprint": drawn.fingerprint}
    commit = f"{number:08x}".ljust(40, "d")
    return saved_run(
        benchmarks, outcomes=outcomes, fingerprint=drawn.fingerprint, commit=commit, saved_at=saved_at, calibration=calibration
    )


def _ladder(drawn: Drawn, model: str, number: int, hour: float, noise: random.Random) -> Iterator[dict[str, Any]]:
    throughput = {"baseline": drawn.baseline[model] * hour}
    yield _step(model, "baseline", "batch", "eager", "f32", throughput["baseline"], None, None, noise)
    for step, over, family, runtime, wanted, gain in STEPS:
        if step == "bf16_autocast" and "bf16" not in drawn.peaks:
            throughput[step] = throughput[over]
            continue
        precision = wanted if wanted in drawn.peaks else "f32"
        below = "channels_last" if over == "bf16_autocast" and "bf16" not in drawn.peaks else over
        slower = CHANGE if step in {"compile", "compile_freezing"} and number > CHANGED_AT else 1
        throughput[step] = throughput[over] * (gain if model == "resnet50" else 1 + (gain - 1) * 0.7)
        yield _step(model, step, family, runtime, precision, throughput[step] * slower, below, throughput[below], noise)


def _step(
    model: str,
    step: str,
    family: str,
    runtime: str,
    precision: str,
    sps: float,
    over: str | None,
    below: float | None,
    noise: random.Random,
) -> dict[str, Any]:
    batch = 1 if step == "baseline" else 8
    calls = [batch / sps * noise.gauss(1, 0.03) for _ in range(PAIRS)]
    return benchmark(
        step,
        model=model,
        medians_s=calls,
        samples=batch,
        over=over,
        over_medians_s=[batch / below * noise.gauss(1, 0.03) for _ in range(PAIRS)] if below else (),
        family=family,
        runtime=runtime,
        precision=precision,
        input_shape=[batch, 3, 224, 224],
        precision_share={precision: 0.97, "f32": 0.03} if precision != "f32" else {"f32": 1.0},
        sqnr_db=SQNR_DB[precision],
        latency_samples=40 if batch / sps > 1 else 400,
        disturbed=step == "workers_pinned" and model == "vit",
        flops_per_sample=FLOPS[model],
        bytes_per_sample=FLOPS[model] / 100,
        changes="drawn, not measured",
        recipe=[*_below(over), step],
        environment={},
    )


def _below(step: str | None) -> list[str]:
    """Return the recipe up to a step."""
    below = {name: over for name, over, *_ in STEPS}
    return [*_below(below.get(step)), step] if step else []


def gate_page() -> str:
    """Return a gate's HTML as it is pasted into a page that has no style of its own, and its CSV below it."""
    slower = percent(4.5, 5.5, 5, 5.2, 4.8, 5.1, 4.9, 5, 5, 4.7, 5.3)
    untold = percent(-20, 25, -15, 10, 30, -5, 2, -25, 15, 20, -10)
    told = result(
        row(Benchmark("resnet50", "baseline"), percent(-0.5, 0.5, -0.3, 0.3, -0.1, 0.1)),
        row(Benchmark("vit", "compile_freezing"), slower[:6], slower),
        row(Benchmark("vit", "onnxruntime_int8"), untold[:6], untold),
        row(Benchmark("vit", "openvino"), percent(-5, -5.5, -4.5, -5.2, -4.8, -5)),
        Row(model="vit", step="openvino_int8", judged=Judged(verdict=Verdict.ERROR, why="head: no int8 kernel ran")),
        Row(model="vit", step="new_step", judged=Judged(verdict=Verdict.NEW, why="on head only; on base not in its catalogue")),
        verdict=Verdict.ERROR,
    )
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += "<title>gate</title><style>pre { overflow: auto }</style>"
    return f"{head}{gate_html(told)}<pre>{gate_csv(told)}</pre></html>"


def written(out: Path, storage: Path, *runs: str) -> Path:
    """Write the page of these runs."""
    subprocess.run([sys.executable, "-m", "reports", "page", *runs, "--out", str(out), "--storage", str(storage)], check=True)
    return out


def pictures(driver: "Chrome", page: Path) -> Iterator[Path]:
    """Take the page wide and narrow, light and dark, with its evidence opened, and printed."""
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            show(driver, page, width=width, scheme=scheme)
            yield _picture(driver, page.with_name(f"{page.stem}-{width}-{scheme}.png"))
    show(driver, page, width=WIDTHS[0])
    run(driver, "document.querySelectorAll('tbody.best details, section > details, details.run').forEach(d => d.open = true)")
    yield _picture(driver, page.with_name(f"{page.stem}-opened.png"))
    show(driver, page)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    page.with_suffix(".pdf").write_bytes(base64.b64decode(printed["data"]))
    yield page.with_suffix(".pdf")


def in_firefox(firefox: str, page: Path, width: int) -> Path:
    """Take the page in Firefox, wide in the dark and narrow in the light."""
    file = page.with_name(f"{page.stem}-{width}-firefox.png")
    with tempfile.TemporaryDirectory() as profile:
        Path(profile, "user.js").write_text(f'user_pref("layout.css.prefers-color-scheme.content-override", {int(width < WIDTHS[0])});\n')
        command = [firefox, "--headless", "--no-remote", "--profile", profile, "--window-size", f"{width}", "--screenshot", str(file)]
        subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True, timeout=LONGEST_S)
    return file


def _picture(driver: "Chrome", file: Path) -> Path:
    size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], TALLEST), "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    file.write_bytes(base64.b64decode(taken["data"]))
    return file


if __name__ == "__main__":
    sys.exit(main())
