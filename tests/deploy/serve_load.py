"""The emitted server with 200 connections, half of them idle, slow, oversized or malformed: what do good requests wait for them?

    python -m tests.deploy.serve_load          (tox -e serve-load; about three minutes on an idle machine)

Good requests arrive at random (Poisson) on 100 connections of their own, at the same times with and without 100 bad connections, which a
process of its own holds. Latencies count from when a request was due. The two take turns, pair by pair, the order drawn. The p99 is of all
requests of all turns; its ratio has an interval by bootstrap over the pairs, whose turns have the same requests.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.deploy.test_serve import FILES, MODEL, as_json, head, put

GOOD_CONNECTIONS = 100
IDLE, SLOW_HEADS, SLOW_BODIES, OVERSIZED, MALFORMED = 40, 15, 15, 10, 20  # bad connections
DRIP_S = 1.0  # between two bytes of a slow one, and between two requests of a bad one
WARMUP_S = 2.0
RESAMPLES = 4000
MOST_SLOWDOWN = 1.2


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer; return its status and its body."""
    said = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in said.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return int(said.split()[1]), await reader.readexactly(length)


async def good_requests(port: int, *, per_second: float, seconds: float, seed: str) -> tuple[list[float], int]:
    """Ask at random times; return the latencies in seconds, and how many were lost, or had another's answer."""
    chance = random.Random(seed)
    due = [*itertools.takewhile(lambda s: s < seconds, itertools.accumulate(iter(lambda: chance.expovariate(per_second), None)))]
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(GOOD_CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    began_s = loop.time()

    async def ask(number: int, due_s: float) -> bool:
        array = np.full((2, 3), 20 + number, np.float32)
        body = as_json(array)
        await asyncio.sleep(began_s + due_s - loop.time())
        reader, writer = await free.get()
        try:
            writer.write(head(len(body)) + body)
            status, said = await answer(reader)
        except (OSError, EOFError):
            return False
        free.put_nowait((reader, writer))
        latencies.append(loop.time() - began_s - due_s)
        return status == 200 and json.loads(said)["outputs"][0]["data"] == (array * 2).ravel().tolist()

    answered = await asyncio.gather(*(ask(number, each) for number, each in enumerate(due)))
    while not free.empty():
        free.get_nowait()[1].close()
    return latencies, answered.count(False)


async def bad_connections(port: int) -> None:
    """Hold them until this process is killed; say when all have connected."""
    connected = asyncio.Semaphore(0)
    malformed = [
        *(b"\x16\x03\x01 hello\r\n\r\n", b"\x00" * 1000, b"POST / HTTP/9.9\r\n\r\n", b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 66_000),
        *(head(len(body)) + body for body in (b"rubbish", b"{}", b'{"inputs": [{"name": "input_0", "shape":')),
    ]

    async def hold(kind: str, number: int) -> None:
        first = True
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if first:
                connected.release()
                first = False
            try:
                if kind == "idle":
                    await reader.read()
                elif kind == "malformed":
                    writer.write(malformed[number % len(malformed)])
                    await reader.read(100)
                elif kind == "oversized":
                    writer.write(head(10**12) + b"x" * 1000)
                    await reader.read(100)
                else:
                    writer.write(b"GET /v2 HTTP/1.1\r\n" if kind == "slow head" else head(100))
                    while not reader.at_eof():
                        writer.write(b"X" if kind == "slow head" else b" ")
                        await writer.drain()
                        await asyncio.sleep(DRIP_S)
            except OSError:
                pass
            writer.close()
            await asyncio.sleep(DRIP_S)

    kinds = {"idle": IDLE, "slow head": SLOW_HEADS, "slow body": SLOW_BODIES, "oversized": OVERSIZED, "malformed": MALFORMED}
    holding = [asyncio.create_task(hold(kind, number)) for kind, count in kinds.items() for number in range(count)]
    for _ in holding:
        await connected.acquire()
    print("connected", flush=True)
    await asyncio.gather(*holding)


def phase(port: int, *, bad: bool, per_second: float, seconds: float, seed: str) -> tuple[list[float], int]:
    """One turn, with the bad connections or without."""
    if not bad:
        return asyncio.run(good_requests(port, per_second=per_second, seconds=seconds, seed=seed))
    command = [sys.executable, "-m", "tests.deploy.serve_load", "--bad", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "connected\n"
            return asyncio.run(good_requests(port, per_second=per_second, seconds=seconds, seed=seed))
        finally:
            process.kill()


def p99_s(latencies: Sequence[float]) -> float:
    return float(np.percentile(latencies, 99))


def ratio_of_p99(pairs: Sequence[tuple[Sequence[float], Sequence[float]]], seed: int) -> tuple[float, float, float]:
    """Return the p99 of the second turns of all pairs over that of the first ones, with its 95 % interval."""
    chance = np.random.default_rng(seed)

    def ratio(places: Sequence[int]) -> float:
        alone, beside = (np.concatenate([pairs[place][side] for place in places]) for side in (0, 1))
        return float(np.percentile(beside, 99) / np.percentile(alone, 99))

    found = [ratio(chance.integers(len(pairs), size=len(pairs)).tolist()) for _ in range(RESAMPLES)]
    low, high = np.percentile(found, [2.5, 97.5])
    return ratio(range(len(pairs))), float(low), float(high)


def main() -> int:
    """Return 1 where a request was lost, the server ended, or the p99 is shown to be more than 20 % longer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a turn")
    parser.add_argument("--per-second", type=float, default=60.0, help="good requests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bad", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bad:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # what the bad clients themselves compute is not what is asked
        asyncio.run(bad_connections(options.bad))
    with tempfile.TemporaryDirectory() as name:
        put(Path(name), MODEL, *FILES)
        command = [sys.executable, str(Path(name, "serve.py")), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            try:
                port = int(server.stderr.readline().rpartition(":")[2])
                return measured(port, options, server)
            finally:
                server.kill()


def measured(port: int, options: argparse.Namespace, server: "subprocess.Popen[str]") -> int:
    chance, lost = random.Random(options.seed), 0
    pairs: list[tuple[list[float], list[float]]] = []
    turn = {"per_second": options.per_second, "seconds": options.seconds}
    for warm in (False, True):
        phase(port, bad=warm, per_second=options.per_second, seconds=WARMUP_S, seed="warm-up")
    for pair in range(options.pairs):
        found = {}
        for bad in chance.sample([False, True], 2):
            latencies, missing = phase(port, bad=bad, seed=f"{options.seed}-{pair}", **turn)
            lost += missing
            found[bad] = latencies
        pairs.append((found[False], found[True]))
        print(
            f"pair {pair + 1}: p99 {1e3 * p99_s(found[False]):.1f} ms alone, {1e3 * p99_s(found[True]):.1f} ms beside bad ones", flush=True
        )
    all_s = {bad: [each for pair in pairs for each in pair[bad]] for bad in (False, True)}
    ratio, low, high = ratio_of_p99(pairs, options.seed)
    ended = server.poll()
    told = {
        "requests": {"alone": len(all_s[False]), "beside bad ones": len(all_s[True])},
        "p50_ms": {"alone": 1e3 * float(np.median(all_s[False])), "beside bad ones": 1e3 * float(np.median(all_s[True]))},
        "p99_ms": {"alone": 1e3 * p99_s(all_s[False]), "beside bad ones": 1e3 * p99_s(all_s[True])},
        "ratio of p99": {"ratio": ratio, "low": low, "high": high},
        "lost": lost,
        "server ended": ended,
    }
    print(json.dumps(told, indent=1))
    return int(bool(lost) or ended is not None or low > MOST_SLOWDOWN)


if __name__ == "__main__":
    sys.exit(main())
