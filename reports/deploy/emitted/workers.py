# SPDX-License-Identifier: Apache-2.0
"""Starts serve.py once for each worker, with the arguments that it is given, and ends all of them where one ends or SIGTERM comes.

A deployment that lacks a worker is slower than it was measured: whoever runs this (a container, systemd) starts it anew, whole.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
GRACE_S = 9.0  # a second more than serve.py takes at most


class Crew:
    """Processes that serve, ended together."""

    def __init__(self) -> None:
        self._ending = False
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, workers: int, arguments: list[str]) -> None:
        for number in range(workers):
            if not self._ending:
                command = [sys.executable, str(FOLDER / "serve.py"), *arguments]
                self._processes.append(subprocess.Popen(command, env=dict(os.environ) | {"WORKER": str(number)}))  # noqa: S603 - beside this file

    def end(self, *_signal: object) -> None:
        """Let every worker answer what it works on, and end."""
        self._ending = True
        for process in self._processes:
            process.terminate()

    def wait(self) -> int:
        """Return once all have ended, of which the first ends the others: 0 where that was asked for, else 1."""
        while not self._ending and all(process.poll() is None for process in self._processes):
            time.sleep(0.2)
        asked_for = self._ending
        if not asked_for:
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    print(f"worker {number} ended with status {process.returncode}, so the others end, too", file=sys.stderr, flush=True)
        self.end()  # again, where a worker was being started when the signal came
        until_s = time.monotonic() + GRACE_S
        for process in self._processes:
            try:
                process.wait(max(0.1, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return 0 if asked_for else 1


def main() -> int:
    """Serve until a worker ends, or until all are asked to."""
    crew = Crew()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, crew.end)
    try:
        crew.start(json.loads((FOLDER / "deployment.json").read_text())["workers"], sys.argv[1:])
    except OSError:
        crew.end()  # none is left of a deployment that does not start whole
        raise
    return crew.wait()


if __name__ == "__main__":
    sys.exit(main())
