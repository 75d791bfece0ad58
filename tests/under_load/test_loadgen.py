"""The same results as MLPerf's own LoadGen: its schedule, and its figures for a real small model that it drives."""

import itertools
import json
import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.under_load.requests import PERCENTILES, Scenario, ServedRequests, poisson_arrivals, summarize
from tests.under_load.queues import simulate

loadgen = pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed -> pip install -e '.[dev]' (x86_64 only)")

SEED = 11
SCENARIOS = {
    "single-stream": loadgen.TestScenario.SingleStream,
    "offline": loadgen.TestScenario.Offline,
    "server": loadgen.TestScenario.Server,
}
Infer = Callable[[], object]


class Driven:
    """LoadGen driving `infer` in one thread behind a queue, and what both saw. Times in seconds, requests in LoadGen's order."""

    def __init__(self, folder: Path, scenario: Scenario, infer: Infer, *, count: int, rate: float = 1.0, limit_s: float = 1.0) -> None:
        self.begin_s: list[float] = []
        self.end_s: list[float] = []
        self._infer = infer
        self._requests: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        worker = threading.Thread(target=self._serve, daemon=True)
        worker.start()
        settings = loadgen.TestSettings()
        settings.scenario = SCENARIOS[scenario]
        settings.mode = loadgen.TestMode.PerformanceOnly
        settings.min_duration_ms = 1000 if scenario == "offline" else 0  # of which it makes the size of the one query
        settings.min_query_count = settings.max_query_count = 1 if scenario == "offline" else count
        settings.server_target_qps = rate
        settings.server_target_latency_ns = int(limit_s * 1e9)
        settings.offline_expected_qps = count / 1.1
        settings.schedule_rng_seed = SEED
        output = loadgen.LogOutputSettings()
        output.outdir = str(folder)
        log = loadgen.LogSettings()
        log.log_output = output
        log.enable_trace = True
        sut = loadgen.ConstructSUT(self._issue, lambda: None)
        samples = count if scenario == "offline" else 16
        qsl = loadgen.ConstructQSL(samples, samples, lambda _samples: None, lambda _samples: None)
        try:
            loadgen.StartTestWithLogSettings(sut, qsl, settings, log)
        finally:
            loadgen.DestroyQSL(qsl)
            loadgen.DestroySUT(sut)
            self._requests.put(None)
            worker.join()
        self.summary = (folder / "mlperf_log_summary.txt").read_text()
        lines = (folder / "mlperf_log_trace.json").read_text().splitlines()  # as a whole it is not always JSON
        samples_seen = [json.loads(line.rstrip(",")) for line in lines if line.startswith('{"name":"Sample",') and '"ph":"b"' in line]
        self.samples = sorted(samples_seen, key=lambda event: event["args"]["sample_seq"])

    @property
    def scheduled_s(self) -> list[float]:
        first = self.samples[0]["ts"]
        return [(event["ts"] - first) * 1e-6 for event in self.samples]

    @property
    def latencies_s(self) -> list[float]:
        """The latency of each request as LoadGen logged it."""
        return [event["args"]["complete_ns"] * 1e-9 for event in self.samples]

    @property
    def stops_early(self) -> bool:
        """Whether LoadGen's early stopping takes the limit for kept."""
        return "Early stopping satisfied: Yes" in self.summary

    def figure(self, label: str) -> float:
        found = re.search(rf"{re.escape(label)}\s*:\s*([\d.]+)", self.summary)
        assert found, f"{label!r} in {self.summary}"
        return float(found[1])

    def served(self) -> ServedRequests:
        """The run as this suite would have seen it: LoadGen's schedule, and the service times that were taken in the worker."""
        ends = [scheduled + latency for scheduled, latency in zip(self.scheduled_s, self.latencies_s, strict=True)]
        service = [end - begin for begin, end in zip(self.begin_s, self.end_s, strict=True)]
        begins = [end - each for end, each in zip(ends, service, strict=True)]
        return ServedRequests(arrivals_s=tuple(self.scheduled_s), begin_s=tuple(begins), end_s=tuple(ends))

    def _issue(self, samples: list[Any]) -> None:
        for sample in samples:
            self._requests.put(sample.id)

    def _serve(self) -> None:
        while (number := self._requests.get()) is not None:
            self.begin_s.append(time.perf_counter())
            self._infer()
            self.end_s.append(time.perf_counter())
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(number, 0, 0)])


@pytest.fixture(scope="module")
def infer() -> Infer:
    """A real small model: a few convolutions by PyTorch, about a millisecond."""
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, stride=2), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 10)).eval()
    images = torch.randn(1, 3, 64, 64)

    def run() -> object:
        with torch.no_grad():
            return model(images)

    for _ in range(10):
        run()
    return run


@pytest.fixture(scope="module")
def at_random(tmp_path_factory: pytest.TempPathFactory, infer: Infer) -> Driven:
    """600 requests at random times, 300 in a second."""
    return Driven(tmp_path_factory.mktemp("server"), "server", infer, count=600, rate=300.0)


def test_the_schedule_is_loadgens_for_the_same_seed(tmp_path: Path) -> None:
    """To the resolution of LoadGen's trace, a microsecond."""
    driven = Driven(tmp_path, "server", lambda: None, count=500, rate=2000.0)

    assert driven.scheduled_s == pytest.approx(poisson_arrivals(2000.0, 500, SEED).tolist(), abs=2e-6)


def test_server_figures_are_loadgens(at_random: Driven) -> None:
    load = summarize(at_random.served(), scenario="server", step="small", workers=1, threads=1, batch_size=1, rate=300.0, limit_s=1.0)

    for share in PERCENTILES:
        label = f"{100 * share:.2f} percentile latency (ns)   "
        assert at_random.figure(label.strip()) * 1e-9 == pytest.approx(load.percentiles_s[f"p{100 * share:g}"], abs=2e-6)
    assert at_random.figure("Completed samples per second") == pytest.approx(load.achieved, rel=0.001)
    assert load.keeps_limit == at_random.stops_early


@pytest.mark.parametrize("count", [458, 459, 700])
@pytest.mark.parametrize("stalls", [0, 1, 6])
def test_a_limit_is_kept_where_loadgens_early_stopping_says_so(tmp_path: Path, count: int, stalls: int) -> None:
    """A server that stalls now and then, so that the requests behind are late, too."""
    requests = itertools.count()
    late = {100 * (place + 1) for place in range(stalls)}
    rate, limit_s = 1600.0, 0.005
    stall = lambda: time.sleep(2 * limit_s) if next(requests) in late else None  # noqa: E731
    driven = Driven(tmp_path, "server", stall, count=count, rate=rate, limit_s=limit_s)

    load = summarize(driven.served(), scenario="server", step="small", workers=1, threads=1, batch_size=1, rate=rate, limit_s=limit_s)

    assert load.keeps_limit == driven.stops_early


def test_latencies_simulated_on_the_recorded_service_times_bound_loadgens(at_random: Driven) -> None:
    """No request is faster than in the simulation; what LoadGen and threads add comes on top."""
    service = [end - begin for begin, end in zip(at_random.begin_s, at_random.end_s, strict=True)]

    simulated = simulate(at_random.scheduled_s, service, workers=1)

    assert all(theirs >= ours - 2e-6 for theirs, ours in zip(at_random.latencies_s, simulated.latencies_s, strict=True))


def test_single_stream_figures_are_loadgens(tmp_path: Path, infer: Infer) -> None:
    driven = Driven(tmp_path, "single-stream", infer, count=200)
    arrivals = tuple(driven.scheduled_s)
    ends = tuple(start + latency for start, latency in zip(arrivals, driven.latencies_s, strict=True))

    load = summarize(
        ServedRequests(arrivals_s=arrivals, begin_s=arrivals, end_s=ends),
        scenario="single-stream",
        step="small",
        workers=1,
        threads=1,
        batch_size=1,
    )

    for share in PERCENTILES:
        assert driven.figure(f"{100 * share:.2f} percentile latency (ns)") * 1e-9 == pytest.approx(
            load.percentiles_s[f"p{100 * share:g}"], abs=2e-6
        )


def test_offline_throughput_is_loadgens(tmp_path: Path, infer: Infer) -> None:
    driven = Driven(tmp_path, "offline", infer, count=200)

    load = summarize(driven.served(), scenario="offline", step="small", workers=1, threads=1, batch_size=1)

    assert 200 == load.requests
    assert driven.figure("Samples per second") == pytest.approx(load.achieved, rel=0.001)
