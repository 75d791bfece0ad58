"""`python -m reports gate`: reads options, holds the gate, writes every output that was asked for, returns the exit code."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from reports.gate.benchmarks import GateError
from reports.gate.configuration import KINDS, NO_CONFIGURATION, Configuration, changes_by_head, configuration_of
from reports.gate.decision import EXIT_CODES, Rules, Verdict
from reports.gate.known import Known
from reports.gate.limits import LIMIT_NAMES, NEEDED, OFF, USUAL, USUAL_ACCURACY_POINTS, Thresholds, limit_of
from reports.gate.result import Result
from reports.gate.show.gate_github import gate_annotations, without_commands
from reports.gate.show.gate_json import gate_json
from reports.gate.show.gate_junit import gate_junit
from reports.gate.show.gate_tables import gate_csv, gate_html, gate_markdown, print_gate
from reports.saved.files import check_folder, write_atomically
from reports.text.options import OF_IMAGES, Commands, shared, time_s, typed, usual
from reports.text.plain_text import plain
from reports.text.refusal import Refusal

CONFIGURED = (*OF_IMAGES, "--sequence-length", "--batch-size", "--worker-timeout")  # the configuration may say other values
ANSWERS = ("--accuracy", "--accuracy-pictures", "--evaluate", "--metric-limit")
USUAL_OPTIONS: Mapping[str, Any] = {
    **{name.removeprefix("--").replace("-", "_"): usual(name) for name in (*CONFIGURED, "--accuracy-pictures")},
    **{"budget": 1200.0, "source": [], "steps": [], "requirements": None, "accuracy": None, "evaluate": None, "metric_limit": []},
}
TEXT_SUFFIX = ".txt"  # of what --accuracy names; else it is pictures
FILES: Mapping[str, Callable[[Result], str]] = {
    "markdown": gate_markdown,
    "json": gate_json,
    "junit": gate_junit,
    "csv": gate_csv,
    "html": gate_html,
}
TITLES: Mapping[str, str] = {"markdown": "Markdown", "json": "JSON", "junit": "JUnit XML", "csv": "CSV", "html": "HTML"}
LIMITED: Mapping[str, str] = {
    "time_percent": "limit of head's time: it passes where it is surely less than N %% slower",
    "memory_percent": "regression where head takes N %% more peak memory, or more",
    "cold_start_percent": "regression where head's cold start is N %% longer, or more",
    "build_time_percent": "regression where head's build is N %% longer, or more",
    "artifact_size_percent": "regression where head's artifact is N %% larger, or more",
    "sqnr_db": "regression where head's outputs lose N dB, or more",
    "accuracy_points": "regression where head loses N points of top-1 on labelled pictures, or more",
}
DESCRIPTION = """\
Is HEAD slower than BASE? Both sides run in fresh processes that take turns, pair by pair, so that the machine's noise hits both.
Exit codes: 0 PASS, 1 REGRESSION, 2 ERROR, 3 INCONCLUSIVE. A side that is not named is the working folder as it stands."""


def add_gate(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "gate", parents=[common], help="judge a change: is head slower than base? for CI", description=DESCRIPTION
    )
    command.add_argument("--base", metavar="REVISION", help="git revision to compare with (default: the working folder)")
    command.add_argument("--head", metavar="REVISION", help="git revision to judge (default: the working folder)")
    command.add_argument("--base-python", metavar="PYTHON", help="interpreter or virtual environment of base (default: this one)")
    command.add_argument("--head-python", metavar="PYTHON", help="interpreter or virtual environment of head (default: this one)")
    add_requirements(command)
    add_settings(command)
    add_limits(command)
    command.add_argument("--budget", type=time_s, metavar="TIME", help="most time for pairs: 90s, 20m, 1h (default: 20m)")
    add_out(command)
    for name in FILES:
        command.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"also write the result to FILE, as {TITLES[name]}")
    command.set_defaults(command=run_gate)


def add_requirements(command: argparse.ArgumentParser) -> None:
    """Add where the judged packages lie, and whose packages each side has beside them."""
    command.add_argument(
        "--source",
        action="append",
        metavar="FOLDER",
        help="folder of the judged packages, repeatable (default: src, or as pyproject.toml says)",
    )
    command.add_argument(
        "--requirements",
        metavar="FILE",
        help="requirements: each side gets an environment of its own with its own revision's FILE (default: none)",
    )


def add_limits(command: argparse.ArgumentParser) -> None:
    """Add from which change on head is a regression, for `thresholds_of`, and what its answers are judged by.

    A limit that is not named has no attribute: None is one that is `off`.
    """
    for name in ANSWERS:
        command.add_argument(name, **(shared(name) | {"default": None}))
    for name in LIMIT_NAMES:
        what, kept = LIMITED[name], getattr(USUAL, name)
        shown = OFF if kept is None else f"{kept:g}"
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=typed(partial(_limit, name)),
            default=argparse.SUPPRESS,
            metavar="N",
            help=f"{what}{'' if name == NEEDED else '; or off'} (default: {shown})",
        )


def thresholds_of(options: argparse.Namespace, configured: Configuration) -> Thresholds:
    """Return the limits that the options name, for all benchmarks alike; else those of the configuration, then the usual ones."""
    named = {name: getattr(options, name) for name in LIMIT_NAMES if hasattr(options, name)}
    families, models, benchmarks = (
        {each: {limit: value for limit, value in limits.items() if limit not in named} for each, limits in tables.items()}
        for tables in (configured.others.get(kind, {}) for kind in KINDS)
    )
    answers = {"accuracy_points": USUAL_ACCURACY_POINTS} if options.accuracy and options.accuracy.suffix != TEXT_SUFFIX else {}
    common = replace(USUAL, **{**answers, **configured.common, **named}, metrics=tuple(options.metric_limit))
    return Thresholds(common=common, families=families, models=models, benchmarks=benchmarks)


def complete(options: argparse.Namespace, configured: Configuration = NO_CONFIGURATION) -> None:
    """Give every option that was not named what the configuration says, else its usual value. An expression outranks steps."""
    has_expression = options.expression is not None
    for name, value in configured.options.items():
        option = "model" if name == "models" else name
        if getattr(options, option, None) is None:
            setattr(options, option, value)
    for name, value in USUAL_OPTIONS.items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    if has_expression:
        options.steps = []


def add_settings(command: argparse.ArgumentParser) -> None:
    """Add what pairs of two sides are measured with, for `settings_of`."""
    command.add_argument(
        "-k", dest="expression", metavar="EXPRESSION", help="benchmarks to measure, as for pytest (default: a dozen telling ones)"
    )
    command.add_argument("--model", **shared("--model"))
    for name in (*CONFIGURED, "--threads", "--weights"):
        command.add_argument(name, **(shared(name) | {"default": None}))
    command.add_argument("--artifact-cache", **shared("--artifact-cache"))


def add_out(command: argparse.ArgumentParser) -> None:
    """Add where the pairs of two sides are kept."""
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to keep the pairs in; the same command then goes on where it stopped (default: not kept)",
    )


def run_gate(options: argparse.Namespace, _storage: object, console: Console) -> int:
    """Hold the gate and tell its result; whatever goes wrong is an ERROR, and told in the same outputs."""
    begin_s = time.monotonic()
    try:
        result = _hold(options)
    except (Refusal, OSError) as error:
        result = _error(options, _text(error), begin_s)
    except KeyboardInterrupt:
        again = (
            f"; the same command goes on with the pairs in {options.out}"
            if options.out
            else ", and its pairs are gone: name --out DIR to be able to go on with them"
        )
        result = _error(options, f"interrupted{again}", begin_s)
    except Exception as error:  # noqa: BLE001 - a defect of the gate must not look like a regression, nor lose the outputs
        traceback.print_exc()
        result = _error(options, f"a defect of the gate: {type(error).__name__}: {error}", begin_s)
    unwritten = _tell(result, options, console)
    for each in unwritten:
        print(f"error: {plain(each, 500)}; the other outputs are whole", file=sys.stderr)
    return EXIT_CODES[Verdict.ERROR] if unwritten else result.exit_code


def _hold(options: argparse.Namespace) -> Result:
    from reports.gate.run import hold
    from reports.gate.settings import request_of

    refuse_emulation()
    if {options.base, options.head, options.base_python, options.head_python} == {None}:
        raise GateError("nothing to compare: name two sides with --base and --head, with --base-python and --head-python, or both")
    for name in FILES:
        check_folder(f"--{name}", getattr(options, name))
    configured = configuration_of("base", options.base, Path.cwd())
    request = request_of(
        options,
        configured,
        base=options.base,
        head=options.head,
        base_python=options.base_python,
        head_python=options.head_python,
        out=options.out,
        known=Known(entries=configured.acknowledged, today=datetime.now(UTC).date()),
        notes=changes_by_head(configured, options.head, Path.cwd()),
    )
    return hold(request)


def refuse_emulation() -> None:
    """Raise GateError on an emulated CPU."""
    from fixtures.machine import this_machine

    if this_machine().emulated:
        raise GateError(f"this {this_machine().cpu_model} is emulated, so its times mean nothing: hold the gate on hardware")


def _tell(result: Result, options: argparse.Namespace, console: Console) -> list[str]:
    """Print the result, then write every output; return what could not be written."""
    unwritten: list[str] = []

    def attempt(write: Callable[[], object], where: str) -> None:
        try:
            write()
        except BrokenPipeError:
            pass  # a reader that left must not turn a regression into a pass
        except OSError as error:
            unwritten.append(f"{where} cannot be written: {error.strerror or error}")

    in_workflow = os.environ.get("GITHUB_ACTIONS") == "true"
    attempt(partial(_print_result, console, result, in_workflow=in_workflow), "the result on stdout")
    if in_workflow:
        attempt(partial(print, gate_annotations(result), end="", flush=True), "the annotations on stdout")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        attempt(lambda: _append(Path(summary), gate_markdown(result)), f"the step summary {summary}")
    for name, render in FILES.items():
        file: Path | None = getattr(options, name)
        if file is not None:
            attempt(partial(write_atomically, file, render(result).encode()), f"--{name} {file}")
    return unwritten


def _print_result(console: Console, result: Result, *, in_workflow: bool) -> None:
    with without_commands() if in_workflow else nullcontext():  # names and reasons in the tables are of unknown origin
        print_gate(console, result)


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as opened:
        opened.write(text)


def _error(options: argparse.Namespace, reason: str, begin_s: float) -> Result:
    return Result(
        verdict=Verdict.ERROR,
        error=reason,
        rules=Rules(),
        budget_s=options.budget or USUAL_OPTIONS["budget"],
        took_s=time.monotonic() - begin_s,
    )


def _text(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    return str(error)


def _limit(name: str, text: str) -> float | None:
    return limit_of(name, OFF if text == OFF else float(text))
