# SPDX-License-Identifier: Apache-2.0
"""Proves in place that the steps of the deployed recipe are in force. Run it as `./run.sh check.py`.

It starts the workers as `serve.py` would be started, looks at each, and compares outputs with fp32 PyTorch's. With --throughput it
also times them, and holds the throughput against what fresh processes had when the recipe was measured. Ends with 1 where
something is not in force.
"""

import argparse
import gc
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from allocators import ALLOCATORS, LARGE_BYTES, counted_bytes
from cpus import Cpus, cpu_quota, text_of
from deployed import FOLDER, WORKER_VARIABLE, read
from memory import TOUCHED_BYTES, Memory, observe
from model import Model, load, sample
from thread_work import ThreadWork, product_side, thread_cpus, watch

QUEUED_TIMES = 4
END_BYTES = 65536  # of what a worker wrote on stderr, in which the reason is looked for
THP_MODE = "; echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
ROUNDS = 5
ROUND_S = 1.5
WARM_UP_S = 2.0


@dataclass(frozen=True)
class Finding:
    """One step: whether it is in force, and what was seen."""

    name: str
    holds: bool
    seen: str


def main() -> int:
    """Check, print a line for each step, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--throughput", action="store_true", help="also time the model and compare with the record")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return _be_a_worker()
    deployment = read()
    print(f"{deployment['model']} by {deployment['step']}, measured in run {deployment['run']} on {deployment['machine']}")
    workers = [_Worker(number) for number in range(deployment["workers"])]
    try:
        seen = [worker.answer() for worker in workers]
        findings = examine(deployment, seen)
        if options.throughput:
            findings.append(_throughput(deployment, workers))
    except WorkerFailed as error:
        findings = [Finding("worker", False, str(error))]
    finally:
        for worker in workers:
            worker.close()
    for finding in findings:
        print(f"{'ok' if finding.holds else 'NOT IN FORCE':12} {finding.name}: {finding.seen}")
    return 0 if all(finding.holds for finding in findings) else 1


def examine(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    """Hold the workers' observations against the recipe's claims."""
    return [finding for check in CHECKS for finding in check(deployment, seen)]


def _versions(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    wrong = [f"{name} {found or 'missing'}, measured with {was}" for name, was in deployment["versions"].items()
             for found in _others(was, [worker["versions"].get(name) for worker in seen])]  # fmt: skip
    return [Finding("versions", not wrong, "; ".join(wrong) or ", ".join(f"{n} {v}" for n, v in deployment["versions"].items()))]


def _others(was: str, found: list[str | None]) -> list[str | None]:
    """Return what was found in place of a value, each once."""
    return [value for value in dict.fromkeys(found) if value != was]


def _environment(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    found = []
    for name, value in deployment["environment"].items():
        values = {worker["environment"].get(name) for worker in seen}
        hint = "" if values == {value} else f", expected {value!r}: start by ./run.sh"
        found.append(Finding(f"variable {name}", values == {value}, ", ".join(map(repr, values)) + hint))
    return found


def _allocator(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    name = deployment["allocator"]
    if name is None:
        return []
    return [_worst(f"{ALLOCATORS[name].title} allocates tensors", [Memory(**worker["memory"]).served_by(name) for worker in seen])]


def _huge_pages(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    kind = deployment["huge_pages"]
    if kind is None:
        return []
    memories = [Memory(**worker["memory"]) for worker in seen]
    if kind == "reserved":
        return [_worst("huge pages", [memory.in_reserved_huge_pages() for memory in memories])]
    finding = _worst("huge pages", [memory.in_huge_pages() for memory in memories])
    mode = seen[0]["thp_mode"]
    return [Finding(finding.name, finding.holds, f"mode {mode}; {finding.seen}{'' if mode == 'madvise' else THP_MODE}")]


def _worst(name: str, said: list[tuple[bool, str]]) -> Finding:
    """Return what holds where it holds for every worker; shown is a worker for which it does not."""
    refused = [shown for holds, shown in said if not holds]
    return Finding(name, not refused, (refused or [shown for _, shown in said])[0])


def _cpus(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    cpus, threads = [worker["cpus"] for worker in seen], deployment["threads"]
    quota = cpu_quota()
    granted = quota is None or quota >= threads * len(cpus)
    shown = "" if quota is None else f"; the control groups grant {quota:g} CPUs"
    if not deployment["pinned"]:
        return [Finding("CPUs", len(cpus[0]) >= threads and granted, f"{cpus[0]} for {threads} threads{shown}")]
    apart = len({cpu for each in cpus for cpu in each}) == sum(map(len, cpus))
    exact = all(len(each) == threads for each in cpus)
    shared = [core for core in Cpus.read().cores if sum(bool(set(each) & set(core)) for each in cpus) > 1]
    shown += f"; CPUs {shared[0]} are siblings of one core" if apart and shared else ""
    return [Finding("affinity", apart and exact and granted and not shared, f"workers on CPUs {cpus}{shown}")]


def _threads(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    """Threads count by their work over the model, or over a large product where the model's calls are too small to be shared."""
    said = []
    for worker in seen:
        holds, shown = ThreadWork(**worker["model_work"]).judge(deployment["threads"])
        if not holds:
            holds, of_product = ThreadWork(**worker["product_work"]).judge(deployment["threads"])
            shown = f"over the model {shown}; over a large product {of_product}"
        said.append((holds, shown))
    return [_worst("threads", said)]


def _settings(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    found = []
    for name, was in deployment["settings_in_force"].items():
        others = _others(was, [worker["settings"].get(name) for worker in seen])
        told = ", ".join("not told" if value is None else value for value in others)
        found.append(Finding(name, not others, f"{told}, measured with {was}" if others else was))
    return found


def _kernels(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    wanted = deployment["kernels"]
    if wanted is None:
        return []
    said = []
    for worker in seen:
        share = worker["precision_share"]
        shown = ", ".join(f"{name} {value:.0%}" for name, value in sorted(share.items(), key=lambda item: -item[1])) or "none reported"
        holds = share.get(wanted["precision"], 0.0) >= wanted["least_share"]
        said.append((holds, f"{shown}; at least {wanted['least_share']:.0%} {wanted['precision']} is expected"))
    return [_worst("kernels", said)]


def _outputs(deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    worst = min(worker["sqnr_db"] for worker in seen)
    least = deployment["least_sqnr_db"]
    return [Finding("outputs", worst >= least, f"SQNR {worst:.1f} dB against fp32, at least {least:g} dB is required")]


def _tokens(_deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    """Where text is generated: the greedy loop chooses the tokens of the compared logits for as long as it follows fp32's own."""
    if seen[0]["chosen"] is None:
        return []
    said = []
    for worker in seen:
        chosen, scored, expected = (worker["chosen"][name] for name in ("greedy", "scored", "expected"))
        same = next((place for place, token in enumerate(expected) if token != chosen[place]), len(expected))
        said.append((chosen[: same + 1] == scored[: same + 1], f"{same} of {len(expected)} are fp32's"))
    return [_worst("tokens of highest logit", said)]


def _tokenizer(_deployment: dict[str, Any], seen: list[dict[str, Any]]) -> list[Finding]:
    """Where text is generated: the tokenizer, and the template of chats where there is one."""
    if seen[0]["tokenizer"] is None:
        return []
    return [_worst("tokenizer", [worker["tokenizer"] for worker in seen])]


CHECKS = (_versions, _environment, _allocator, _huge_pages, _cpus, _threads, _settings, _kernels, _outputs, _tokens, _tokenizer)


def _throughput(deployment: dict[str, Any], workers: list["_Worker"]) -> Finding:
    """Time bursts of all workers together, as many samples a second as in the median burst."""
    rates = []
    for _ in range(ROUNDS):
        for worker in workers:
            worker.tell("go")
        bursts = [worker.answer() for worker in workers]
        taken_s = max(burst["end_s"] for burst in bursts) - min(burst["begin_s"] for burst in bursts)
        if len(bursts) == 1 and bursts[0]["median_s"] is not None:  # as the record has it: the median call's
            taken_s = bursts[0]["calls"] * bursts[0]["median_s"]
        rates.append(sum(burst["calls"] for burst in bursts) * deployment["batch_size"] / taken_s)
    now, was = statistics.median(rates), deployment["throughput"]
    recorded = was["samples_per_second"]
    seen = f"{now:.1f} {deployment['unit']} per second, {now / recorded:.2f} times the record's {recorded:.1f}"
    if was["low"] is None:
        return Finding("throughput", True, f"{seen}; one process was measured, so no interval tells how much is too little")
    within = "within" if now <= was["high"] else "above"
    where = within if now >= was["low"] else "BELOW"
    interval = f"{where} {was['low']:.1f} to {was['high']:.1f}, where 95 % of fresh processes lie (from {was['processes']} measured)"
    return Finding("throughput", now >= was["low"], f"{seen}; {interval}")


class WorkerFailed(Exception):
    """A worker ended before it answered."""


class _Worker:
    """A process that loads the model as worker number `number`, and answers in lines of JSON."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would hold up a worker that writes much
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, str(FOLDER / "check.py"), "--worker"],
            env=dict(os.environ) | {WORKER_VARIABLE: str(number)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"'):  # libraries print lines of their own
                answer: dict[str, Any] = json.loads(line)
                return answer
        status = self._process.wait()
        raise WorkerFailed(f"worker {self.number} ended with status {status}: {self._last_error()}")

    def _last_error(self) -> str:
        """Return the last line that the worker wrote on stderr."""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - END_BYTES))
        return (self._errors.read().decode(errors="replace").strip().splitlines() or ["no word"])[-1]

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._errors.close()


def _be_a_worker() -> int:
    """Load the model, say what is in force, then run a burst for every line on stdin."""
    counted = counted_bytes()
    model = load()
    inputs, expected = sample()
    outputs = model.infer(*inputs).astype(np.float64)
    placed = model.session.place(inputs)
    facts = model.session.facts(placed)
    facts |= {
        "versions": _installed(model.deployment["versions"]),
        "environment": {name: os.environ.get(name) for name in model.deployment["environment"]},
        "memory": asdict(_look_at_memory(model, counted)),
        **_look_at_threads(model, placed),
        "thp_mode": _thp_mode(),
        "cpus": sorted(set().union(*map(set, thread_cpus().values()))),
        "sqnr_db": _sqnr_db(model, outputs, expected),
        "chosen": _chosen(model, placed, outputs),
        "tokenizer": _look_at_tokenizer(),
    }
    print(json.dumps(facts), flush=True)
    call_s = 0.0
    for _ in sys.stdin:
        call_s = call_s or _warm_up(model, placed)
        print(json.dumps(_burst(model, placed, max(2, round(ROUND_S / call_s)))), flush=True)
    return 0


def _chosen(model: Model, placed: Any, logits: np.ndarray) -> dict[str, list[int]] | None:
    """Return the tokens that the loop chooses after the first prompt, those of the compared logits, and fp32's; None of all else."""
    if not hasattr(model.session, "chosen"):
        return None
    expected: list[int] = placed[1][0].tolist()
    return {"greedy": model.session.chosen(placed), "scored": logits[0].argmax(axis=-1).tolist(), "expected": expected}


def _look_at_tokenizer() -> tuple[bool, str] | None:
    """Return whether serve.py can load the tokenizer that lies here, and what was seen; None where there is none."""
    folder = FOLDER / "tokenizer"
    if not folder.is_dir():
        return None
    try:
        from texts import Texts

        return True, "takes texts and chats" if Texts(folder).has_chats else "takes texts"
    except Exception as error:  # noqa: BLE001 - whatever the libraries raise is told
        return False, f"{type(error).__name__}: {str(error)[:200]}"


def _look_at_memory(model: Model, counted: dict[str, int]) -> Memory:
    """Return where the weights, the largest activation and a new tensor lie; `counted` was taken before the model was loaded."""
    gc.collect()  # a compiler's garbage that is given back meanwhile would count against the tensor
    session, before = model.session, counted_bytes()
    tensor = session.allocate(LARGE_BYTES, TOUCHED_BYTES)
    return observe(session.weights(), session.largest_activation(), tensor, counted_before=counted, tensor_before=before)


def _look_at_threads(model: Model, placed: Any) -> dict[str, Any]:
    session, threads = model.session, model.deployment["threads"]
    if hasattr(session, "without_spinning"):
        session = session.without_spinning()

    def run() -> None:
        if session.asynchronous:
            session.run_many(placed, QUEUED_TIMES * session.requests)
        else:
            session.run(placed)

    of_model = watch(run, threads)
    shared = of_model.judge(threads)[0]
    of_product = of_model if shared else watch(session.large_product(product_side(threads)), threads)
    return {"model_work": asdict(of_model), "product_work": asdict(of_product)}


def _sqnr_db(model: Model, outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return signal over noise in dB, of the part of the outputs that depends on the input; 200 where they are equal.

    The signal is that of all samples of the reference: the few that lie here may be near their mean, where right outputs seem wrong.
    """
    noise, count = float(np.square(outputs - expected).sum()), len(expected)
    with np.load(FOLDER / "sample.npz", allow_pickle=False) as arrays:
        power = float(arrays["power"])
        images, answers = (arrays.get(name, expected[:0]) for name in ("further", "further_expected"))  # none of texts
    for place in range(0, len(images), model.batch_size):
        batch = slice(place, place + model.batch_size)
        noise += float(np.square(model.infer(images[batch]).astype(np.float64) - answers[batch]).sum())
    signal = (count + len(answers)) * power
    if not np.isfinite(noise):
        return -200.0
    return 200.0 if noise == 0 else max(-200.0, min(200.0, 10 * float(np.log10(max(signal, 1e-300) / noise))))


def _warm_up(model: Model, placed: Any) -> float:
    """Return how long a warm call takes, in seconds."""
    calls_s: list[float] = []
    begin_s = time.perf_counter()
    while len(calls_s) < 3 or time.perf_counter() - begin_s < WARM_UP_S:
        start_s = time.perf_counter()
        model.session.run(placed)
        calls_s.append(time.perf_counter() - start_s)
    return max(1e-6, statistics.median(calls_s))


def _burst(model: Model, placed: Any, calls: int) -> dict[str, Any]:
    calls_s: list[float] = []
    begin_s = time.perf_counter()
    if model.session.asynchronous:
        model.session.run_many(placed, calls)
    else:
        for _ in range(calls):
            start_s = time.perf_counter()
            model.session.run(placed)
            calls_s.append(time.perf_counter() - start_s)
    median_s = statistics.median(calls_s) if calls_s else None
    return {"begin_s": begin_s, "end_s": time.perf_counter(), "calls": calls, "median_s": median_s}


def _installed(names: dict[str, str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    return found


def _thp_mode() -> str:
    chosen = re.search(r"\[(\w+)\]", text_of("/sys/kernel/mm/transparent_hugepage/enabled"))
    return chosen[1] if chosen else "unknown"


if __name__ == "__main__":
    sys.exit(main())
