"""Costs as tables. Computes nothing."""

from collections.abc import Sequence

from reports.text.figures import NONE, per_second
from reports.views.cost import MachineCost, RunCost, StepCost
from reports.views.prices import Price
from reports.views.tables import Cell, Column, Table

_COLUMNS = (
    Column("run", "run", is_number=False),
    Column("model", "model", is_number=False),
    Column("step", "step", is_number=False),
    Column("SPS", "samples_per_second"),
    Column("cost of a\nmillion", "cost_per_million"),
    Column("95 %\nlow", "cost_low"),
    Column("95 %\nhigh", "cost_high"),
    Column("instance", "instance", is_number=False),
    Column("price\nper hour", "price_per_hour"),
    Column("currency", "currency", is_number=False),
)


def cost_tables(costs: Sequence[RunCost], machines: Sequence[MachineCost]) -> tuple[Table, ...]:
    """Return a table for each run, and for several machines one of the cheapest step on each."""
    tables = [_run(cost) for cost in costs]
    if len({each.machine for each in machines}) > 1:
        tables.append(
            Table(
                title="cheapest step by machine",
                columns=_COLUMNS,
                rows=tuple(_row(each.run, each.step, each.price) for each in machines),
                remarks=tuple(dict.fromkeys(f"run {each.run}: {each.machine}" for each in machines)),
                marked=frozenset(place for place, each in enumerate(machines) if not place or machines[place - 1].model != each.model),
            )
        )
    return tuple(tables)


def money(amount: float) -> str:
    """Return an amount with three digits, and no fewer than all before the point."""
    return f"{amount:#.3g}" if amount < 1 else f"{amount:.2f}" if amount < 1e6 else f"{amount:.2e}"


def price_text(price: Price) -> str:
    """Return a price with its region, date and source."""
    return price_short(price) + (f", source: {price.source}" if price.source else "")


def price_short(price: Price) -> str:
    """Return the same without its source."""
    where = f" in {price.region}" if price.region else ""
    when = f" on {price.date.isoformat()}" if price.date else ""
    return f"{price.instance}: {price.price_per_hour:.6g} {price.currency}".rstrip() + f" an hour{where}{when}"


def _run(cost: RunCost) -> Table:
    return Table(
        title=f"run {cost.run} on {cost.machine}",
        columns=_COLUMNS,
        rows=tuple(_row(cost.run, step, cost.price) for step in cost.steps),
        remarks=(f"price of the whole machine, {price_text(cost.price)}", *cost.remarks),
        marked=frozenset(place for place, step in enumerate(cost.steps) if step is cost.cheapest(step.model)),
    )


def _row(run: str, step: StepCost, price: Price) -> tuple[Cell, ...]:
    interval = (Cell(money(end), end) for end in step.interval) if step.interval else (Cell(NONE), Cell(NONE))
    return (
        Cell(run),
        Cell(step.model),
        Cell(step.step),
        Cell(per_second(step.samples_per_second), step.samples_per_second),
        Cell(money(step.cost_per_million), step.cost_per_million),
        *interval,
        Cell(price.instance),
        Cell(f"{price.price_per_hour:.6g}", price.price_per_hour),
        Cell(price.currency or NONE),
    )
