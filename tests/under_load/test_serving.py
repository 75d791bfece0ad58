"""Requests sent to real workers: each is served once, by whoever is idle, never before it is due."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fixtures.bench.launch import WorkerError
from fixtures.bench.rig import Rig, Serving
from fixtures.protocol import ModelSpec
from fixtures.steps.optimizations import Placement
from fixtures.steps.placement import place
from fixtures.steps.recipe import resolve
from reports.__main__ import main
from reports.text.image_shape import square
from reports.under_load.requests import ServedRequests, poisson_arrivals
from reports.under_load.serving import MOST_REQUESTS, send
from tests.conftest import skip_unless_met, suite_rig
from tests.processes import with_variable

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))
REQUESTS = 40


def serve(rig: Rig) -> Serving:
    recipe = place(resolve("openvino_fp32", rig.catalogue, rig.machine), Placement(workers=2, threads=1))
    [serving] = rig.serve(recipe, model=RESNET)
    return serving


@pytest.fixture(scope="module")
def two_workers(artifact_folder: Path) -> Iterator[Serving]:
    """The same two for all tests that let them live."""
    skip_unless_met("openvino_fp32", "workers_pinned")
    serving = serve(suite_rig(artifact_folder))
    with serving.workers:
        yield serving


def most_at_once(served: ServedRequests) -> int:
    """How many requests were worked on at the same moment."""
    events = sorted([(begin, 1) for begin in served.begin_s] + [(end, -1) for end in served.end_s])
    return int(np.cumsum([change for _, change in events]).max())


def test_all_at_once_keeps_both_workers_busy(two_workers: Serving) -> None:
    served = send(two_workers, requests=REQUESTS, arrivals_s=np.zeros(REQUESTS))

    assert REQUESTS == len(served.latencies_s)
    assert 2 == most_at_once(served)
    assert all(end > begin >= 0 for begin, end in zip(served.begin_s, served.end_s, strict=True))


def test_no_request_is_served_before_it_is_due(two_workers: Serving) -> None:
    arrivals = poisson_arrivals(200.0, REQUESTS, seed=5)

    served = send(two_workers, requests=REQUESTS, arrivals_s=arrivals)

    assert arrivals.tolist() == list(served.arrivals_s)
    assert all(begin >= arrival for begin, arrival in zip(served.begin_s, served.arrivals_s, strict=True))
    assert most_at_once(served) <= 2


def test_a_queue_can_be_sent_again_and_has_its_bounds(two_workers: Serving) -> None:
    for requests in (1, 3):
        assert requests == len(send(two_workers, requests=requests, arrivals_s=None).end_s)
    for requests in (0, MOST_REQUESTS + 1):
        with pytest.raises(ValueError, match="expected 1 to"):
            send(two_workers, requests=requests, arrivals_s=None)


def test_a_long_queue_fits(two_workers: Serving) -> None:
    """More than the kernel's default pipe holds. All are due in an hour; a worker that dies meanwhile ends it. The last of these tests."""
    count = 50_000
    arrivals = np.full(count, 3600.0)
    pids = with_variable("BENCHMARK_WORKER_SOCKET", str(two_workers.workers.folder / "socket"))
    workers = [pid for pid in pids if b"torch.distributed" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert 2 == len(workers)
    threading.Timer(1.0, os.kill, (workers[0], signal.SIGKILL)).start()

    with pytest.raises(WorkerError, match="while serving requests"):
        send(two_workers, requests=count, arrivals_s=arrivals)


@pytest.mark.nightly
def test_the_command_loads_a_step(artifact_folder: object, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["load", "--model", RESNET.name, "--image-size", "64", "--artifact-cache", str(artifact_folder), "--duration", "1s"]

    assert 0 == main([*common, "--step", "onnxruntime", "--rate", "150", "--workers", "1,2", "--max-p99-ms", "1e9", "--batch-size", "1"])
    shown = capsys.readouterr()
    assert 2 == shown.out.count("kept (")
    assert "proving onnxruntime@b1w2t1" in shown.err
    assert "at least 459 requests" in shown.err
    assert "by the median of three runs" in " ".join(shown.out.split())

    assert 2 == main([*common, "--step", "onnxruntime", "--rate", "150", "--workers", "1,4096"]), "before the first is run"
    assert 1 == main([*common, "--step", "onnxruntime", "--max-p99-ms", "0.000001", "--workers", "1", "--batch-size", "8"])
    assert "no rate is shown to keep 1e-06 ms" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--step", "nope", "--rate", "1"], "unknown step 'nope': expected one of"),
        (["--step", "generate", "--rate", "1"], "step 'generate' is of the family generation, which has no requests"),
        (["--step", "lengths_padded", "--rate", "1"], "step 'lengths_padded' is of the family variable_lengths"),
        (["--step", "onnxruntime"], "add --rate, or --max-p99-ms to search"),
        (["--step", "onnxruntime", "--scenario", "offline", "--rate", "3"], "do not arrive at a rate"),
        (["--step", "openvino_throughput", "--rate", "3"], "' with --workers"),
        (["--step", "onnxruntime", "--rate", "3", "--workers", "4096"], "every worker needs one of its own"),
        (["--step", "onnxruntime", "--rate", "3", "--weights", "/nowhere"], "--weights '/nowhere': there is no file '/nowhere'"),
        (["--step", "onnxruntime", "--rate", "3", "--threads", "4096"], "more threads would only wait"),
    ],
)
def test_errors_are_one_paragraph(capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    assert 2 == main(["load", "--model", RESNET.name, *arguments])

    errors = capsys.readouterr().err.splitlines()
    assert 1 == len(errors)
    assert reason in errors[0]


@pytest.mark.parametrize("arguments", [["--rate", "0"], ["--workers", "0"], ["--workers", "1,x"], ["--duration", "5"], ["--rate", "inf"]])
def test_wrong_values_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["load", "--model", RESNET.name, "--step", "onnxruntime", *arguments])
    assert 2 == ended.value.code
