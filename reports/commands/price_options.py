"""The options that give machines a price, for every command that shows costs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports.saved.record import Measurement, Run
from reports.text.options import number
from reports.text.plain_text import plain
from reports.views.cost import RunCost, price_of, run_cost
from reports.views.prices import DEFAULT_REGION, PriceError, price_table


def add_price_options(command: argparse.ArgumentParser) -> None:
    """Add them to a command."""
    command.add_argument(
        "--price",
        type=number("a price from 1e-9 to 1e9", lambda value: 1e-9 <= value <= 1e9),
        metavar="PER_HOUR",
        help="price of the machine for one hour, in any currency (default: that of its instance type)",
    )
    command.add_argument("--prices", type=Path, metavar="FILE", help="prices of your own as JSON, which come before the built-in ones")
    command.add_argument("--instance", metavar="TYPE", help="instance type of a machine that names none, for example c8g.xlarge")
    command.add_argument("--region", default=DEFAULT_REGION, help="region of the prices (default: %(default)s)")


def costs(runs: Sequence[Run[Measurement]], options: argparse.Namespace) -> list[RunCost]:
    """Return what inferences cost in each run. Raises PriceError for a run whose machine has no price."""
    machines = dict.fromkeys(run.machine for run in runs)
    if options.price is not None and len(machines) > 1:
        names = plain("; ".join(machines), 500)
        raise PriceError(f"--price is one price, and the runs are of several machines ({names}): give a table with --prices FILE")
    table = price_table(options.prices)
    return [run_cost(run, price_of(run, table, region=options.region, per_hour=options.price, instance=options.instance)) for run in runs]


def known_costs(runs: Sequence[Run[Measurement]], options: argparse.Namespace) -> list[RunCost | None]:
    """Return the same, None for a run without a price; where an option asks for prices, raise PriceError instead."""
    if any((options.price is not None, options.prices, options.instance, options.region != DEFAULT_REGION)):
        return [*costs(runs, options)]
    known: list[RunCost | None] = []
    for run in runs:
        try:
            known += costs([run], options)
        except PriceError:  # nobody asked: the page has no costs then
            known.append(None)
    return known
