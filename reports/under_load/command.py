"""`python -m reports load`: a step under load, and the highest rate that keeps a p99."""

import argparse
from collections.abc import Sequence

from rich.console import Console

from reports.commands.measuring import CannotMeasure, add_input_options, add_model_options, bench
from reports.show.tables import add_format, show
from reports.statistics.latency import MLPERF_CONFIDENCE, least_calls
from reports.text.figures import milliseconds
from reports.text.options import Commands, above_zero, image_of, positive, time_s
from reports.text.plain_text import say
from reports.under_load.requests import LoadRun
from reports.under_load.texts import load_line, loads_table

DESCRIPTION = """\
Serves a step in the suite's workers, proved first, and loads it: one request at a time (single-stream), all at once (offline), or
at random at a rate (server), by MLPerf's definitions. Latencies count from the moment a request was meant to arrive."""
OFFLINE_BATCH = 8


def add_load(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("load", parents=[common], help="load a step: percentiles, and the highest rate", description=DESCRIPTION)
    add_model_options(command)
    add_input_options(command)
    command.add_argument("--step", required=True, metavar="STEP", help="step of the ladder to load")
    command.add_argument(
        "--workers",
        type=_counts,
        metavar="N[,N]",
        help="pinned workers behind one queue that share the CPUs equally; several counts are tried in turn (default: one, with all CPUs)",
    )
    command.add_argument(
        "--scenario",
        choices=("single-stream", "offline", "server"),
        default="server",
        help="arrival of the requests (default: %(default)s)",
    )
    command.add_argument("--batch-size", type=positive, metavar="N", help="samples in a request (default: 1; offline: 8)")
    command.add_argument("--rate", type=above_zero, metavar="R", help="requests a second, in the server scenario")
    command.add_argument(
        "--max-p99-ms",
        type=above_zero,
        metavar="MS",
        help="p99 to keep, in milliseconds; without --rate the highest rate that keeps it is searched",
    )
    command.add_argument(
        "--duration", type=time_s, default="10s", metavar="TIME", help="time of each run, about: 90s, 20m (default: %(default)s)"
    )
    command.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the random arrivals (default: %(default)s)")
    add_format(command)
    command.set_defaults(command=run_load_command)


def run_load_command(options: argparse.Namespace, _storage: object, console: Console) -> int:
    """Run the load, and print what it amounts to; 1 where a limit was set and nothing keeps it."""
    from fixtures.bench.launch import WorkerError
    from reports.under_load.run import Wish, check_workers, run_load
    from reports.under_load.search import SEEDS, keeps

    if options.scenario != "server" and options.rate is not None:
        raise CannotMeasure(f"--rate: in the {options.scenario} scenario requests do not arrive at a rate; use --scenario server")
    if options.scenario == "server" and options.rate is None and options.max_p99_ms is None:
        raise CannotMeasure(
            "the server scenario needs a rate of requests: add --rate, or --max-p99-ms to search the highest rate that keeps it"
        )
    batch_size = options.batch_size or (OFFLINE_BATCH if options.scenario == "offline" else 1)
    made = bench(
        options,
        image=image_of(options),
        sequence_length=options.sequence_length,
        batch_size=batch_size,
        threads=options.threads,
        progress=say,
    )
    check_workers(max(options.workers or (1,)), made.rig.threads)
    wish = Wish(
        scenario=options.scenario,
        step=options.step,
        batch_size=batch_size,
        seconds=options.duration,
        rate=options.rate,
        limit_s=options.max_p99_ms / 1000 if options.max_p99_ms else None,
        seed=options.seed,
    )
    if wish.limit_s is not None:
        runs = f", and each rate is run {SEEDS} times" if wish.scenario == "server" else ""
        least = least_calls(MLPERF_CONFIDENCE)
        say(f"a p99 is shown by at least {least} requests (MLPerf's early stopping){runs}: slow models take a while")
    loads: list[LoadRun] = []
    failure: CannotMeasure | None = None
    for workers in options.workers or (None,):
        try:
            loaded = run_load(made, wish, workers, note=lambda load: say(load_line(load)))
        except (CannotMeasure, WorkerError) as error:
            failure = CannotMeasure(str(error).splitlines()[0])
            break
        for finding in loaded.findings:
            say(f"note: {finding}")
        if loaded.found is not None:
            loads.append(loaded.found)
        elif wish.limit_s is not None:
            say(f"no rate is shown to keep {options.max_p99_ms:g} ms: {_nearest(loaded.trials)}")
    if loads or failure is None:
        show(console, [loads_table(made.model_id, loads)] if loads else [], options.format, loads)
    if failure is not None:
        raise failure  # after the table of those that went before
    return 0 if any(load.limit_s is None or keeps(load) for load in loads) else 1


def _nearest(trials: Sequence[LoadRun]) -> str:
    """Say which rate came nearest to a limit; where none was tried, how long requests are worked on, which is longer already."""
    at_random = [load for load in trials if load.scenario == "server"]
    if at_random:
        return f"the nearest was {load_line(min(at_random, key=lambda load: load.p99_s))}"
    return f"half of the requests are worked on for {milliseconds(min(load.service_p50_s for load in trials))} ms and more, without waiting"


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(positive(part.strip()) for part in text.split(","))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"expected a number of workers, or several such as 1,2,4: {error}") from error
    return tuple(dict.fromkeys(counts))
