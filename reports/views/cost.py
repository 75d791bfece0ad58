"""What inferences cost: each step's throughput at the price of the whole machine, within a run and across machines. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from reports.saved.record import TRAINING, Measurement, Run
from reports.statistics import Interval
from reports.views.ladder import sps_interval
from reports.views.prices import Price, PriceError, PriceTable

SECONDS_PER_HOUR = 3600
MILLION = 1_000_000
GIVEN = "--price"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCost:
    """The cost of a million samples by one step; the interval is that of its throughput over processes, None below two.

    `machines` took part and all of them are paid for; a sample is an inference, a token where it `is_text`, or a sample of a training step
    where it `is_training`. A step that was `disturbed` is the cheapest only where all were.
    """

    model: str
    step: str
    samples_per_second: float
    cost_per_million: float
    interval: Interval | None = None
    machines: int = 1
    is_training: bool = False
    is_text: bool = False
    disturbed: bool = False

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The cheapest of several steps has the lowest: inference is before training, and what nobody disturbed before the rest."""
        return self.is_training, self.disturbed, self.cost_per_million


@dataclass(frozen=True, kw_only=True, slots=True)
class RunCost:
    """All steps of one run at the price of its machine; `remarks` say what the figures leave out.

    One that does not tell its machine is of one of its own.
    """

    run: str
    machine: str
    price: Price
    steps: tuple[StepCost, ...]
    remarks: tuple[str, ...] = ()
    tells_machine: bool = True

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.model for step in self.steps))

    def cheapest(self, model: str) -> StepCost:
        """Return the step of lowest cost, of inference where there is any. Raises ValueError for a model that was not measured."""
        return min((step for step in self.steps if step.model == model), key=lambda step: step.rank)

    def of(self, model: str, step: str) -> StepCost | None:
        """Return what a step costs, None where the run has no such step."""
        return next((each for each in self.steps if (each.model, each.step) == (model, step)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineCost:
    """The cheapest step of a model on one machine, over all runs of that machine."""

    model: str
    machine: str
    run: str
    price: Price
    step: StepCost


def cost_per_million(price_per_hour: float, samples_per_second: float) -> float:
    """Return the price of a million samples on a machine that does nothing else."""
    return price_per_hour / SECONDS_PER_HOUR / samples_per_second * MILLION


def run_cost(run: Run[Measurement], price: Price) -> RunCost:
    """Return the cost of every measured step of a run. Raises PriceError for a run without one."""
    if not run.measurements:
        raise PriceError(f"run {run.name} holds no measured step, so there is nothing to price: `python -m reports list` shows other runs")
    return RunCost(
        run=run.name,
        machine=run.machine,
        price=price,
        steps=tuple(_step(each, price.price_per_hour) for each in run.measurements),
        remarks=tuple(_remarks(run, price)),
        tells_machine=bool(run.fingerprint.get("cpu_model")),
    )


def machine_costs(costs: Iterable[RunCost]) -> tuple[MachineCost, ...]:
    """Return for each model its cheapest step on each machine, the cheapest machine first; prices of one currency are compared."""
    best: dict[tuple[str, str, str], MachineCost] = {}
    for cost in costs:
        for model in cost.models:
            step = cost.cheapest(model)
            key = (model, cost.machine if cost.tells_machine else cost.run, cost.price.instance)
            if key not in best or step.rank < best[key].step.rank:
                best[key] = MachineCost(model=model, machine=cost.machine, run=cost.run, price=cost.price, step=step)
    models = list(dict.fromkeys(model for model, _, _ in best))
    return tuple(sorted(best.values(), key=lambda each: (models.index(each.model), each.price.currency, each.step.rank)))


def price_of(run: Run[Measurement], table: PriceTable, *, region: str, per_hour: float | None = None, instance: str | None = None) -> Price:
    """Return the price of a run's machine: the one given, or the table's for its instance type. Raises PriceError."""
    recorded = str(run.fingerprint.get("instance_type") or "")
    if per_hour is not None:
        return Price(instance=instance or recorded or "given", price_per_hour=per_hour, currency="", source=GIVEN)
    if instance and recorded and instance != recorded:
        raise PriceError(
            f"--instance {instance}: run {run.name} was measured on {recorded}; leave --instance out, or give the price itself with --price"
        )
    if not (instance or recorded):
        raise PriceError(
            f"run {run.name} was measured on {run.machine}, which names no instance type, so it has no price: give "
            "--price PER_HOUR, or the type that it is comparable to with --instance (for example --instance c8g.xlarge)"
        )
    return table.find(instance or recorded, region)


def _step(measurement: Measurement, price_per_hour: float) -> StepCost:
    interval = None
    machines = len(measurement.hosts.each) if measurement.hosts is not None else 1
    price_per_hour *= machines
    throughput = sps_interval(measurement)
    if throughput is not None and throughput.low > 0:
        interval = Interval(cost_per_million(price_per_hour, throughput.high), cost_per_million(price_per_hour, throughput.low))
    return StepCost(
        model=measurement.model,
        step=measurement.step,
        samples_per_second=measurement.samples_per_second,
        cost_per_million=cost_per_million(price_per_hour, measurement.samples_per_second),
        interval=interval,
        machines=machines,
        is_training=measurement.family in TRAINING,
        is_text=measurement.generation is not None,
        disturbed=measurement.disturbed,
    )


def _remarks(run: Run[Measurement], price: Price) -> Iterable[str]:
    recorded = str(run.fingerprint.get("instance_type") or "")
    if price.source != GIVEN and price.instance != recorded:
        yield f"run {run.name} was not measured on {price.instance}: its price stands in for {run.machine}"
    vcpus = run.fingerprint.get("vcpus")
    used = {each.threads * each.workers for each in run.measurements if each.threads is not None and each.hosts is None}
    if isinstance(vcpus, int) and used and max(used) < vcpus:
        yield f"run {run.name} computed with {max(used)} of {vcpus} vCPUs; the whole machine is paid for"
    disturbed = list(dict.fromkeys(each.step for each in run.measurements if each.disturbed))
    if disturbed:
        were, their = ("was", "its") if len(disturbed) == 1 else ("were", "their")
        yield f"{', '.join(disturbed)} {were} disturbed by other processes, so {their} cost is no figure"
    for each in run.measurements:
        if each.hosts is not None:
            yield f"{each.step} ran on {len(each.hosts.each)} machines at once: its cost is the price of all of them"
    training = [each.step for each in run.measurements if each.family in TRAINING]
    if training:
        yield f"the cost of {', '.join(dict.fromkeys(training))} is that of a million training samples, not of inferences"
