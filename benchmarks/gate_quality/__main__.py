"""`python -m benchmarks.gate_quality`: goes on with the study, then says what it has found so far."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gate_quality.kinds import KINDS
from benchmarks.gate_quality.page import page
from benchmarks.gate_quality.record import StudyError, read
from benchmarks.gate_quality.study import go_on
from reports.__main__ import ended_in_order
from reports.gate.benchmarks import GateError
from reports.gate.journal import only_gate_in
from reports.saved.files import write_atomically

DESCRIPTION = """\
Holds whole gates over two checkouts that are equal, or whose models differ by a known share of real work, and counts how they end.
Takes about two hours: give it --minutes on a quiet machine, as often as you like; it goes on where it ended. --minutes 0 only analyses."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, or 2 with a sentence on stderr."""
    options = _parser().parse_args(arguments)
    kinds = [kind for kind in KINDS if kind.name in options.only]
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with ended_in_order(), only_gate_in(options.out):  # the gate that is under way ends, and its workers
            if options.minutes > 0:
                go_on(options.out.absolute(), kinds, seconds=60 * options.minutes, most_gates=options.gates)
            _report(options)
    except (StudyError, GateError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on with the gates in {options.out}", file=sys.stderr)
        return 2
    return 0


def _report(options: argparse.Namespace) -> None:
    """Write the page of what is recorded, or print it. Raises StudyError."""
    recorded = read(options.out)
    if recorded is None or not recorded.gates:
        raise StudyError(f"no gates in {options.out}: hold some with --minutes")
    text = page(recorded)
    if options.write is None:
        sys.stdout.write(text)
    else:
        write_atomically(options.write, text.encode())


def _parser() -> argparse.ArgumentParser:
    names = [kind.name for kind in KINDS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_quality", description=DESCRIPTION)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no gate that would end later (default: no limit)")
    parser.add_argument("--gates", type=int, default=sys.maxsize, metavar="N", help="most gates to hold (default: all that are left)")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="KIND", help=f"kinds to hold: {', '.join(names)} (default: all)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(".cache/gate-quality"), metavar="DIR", help="folder of the held gates (default: %(default)s)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="file to write the page to (default: stdout)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
