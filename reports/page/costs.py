"""What a million inferences cost, for the page. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.page.scales import Scale, amount_scale
from reports.views.cost import MachineCost, RunCost, StepCost, machine_costs


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCosts:
    """The steps of one model in the order of the ladder, the cheapest of them, and the scale of their costs."""

    id: str
    model: str
    steps: tuple[StepCost, ...]
    cheapest: StepCost
    scale: Scale


@dataclass(frozen=True, kw_only=True, slots=True)
class CostView:
    """The costs of the run in question, None where its machine has no price, and the cheapest step on each of several machines."""

    run: RunCost | None
    models: tuple[ModelCosts, ...]
    machines: tuple[MachineCost, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the prices of the machines come from, each once."""
        return tuple(dict.fromkeys(each.price.source for each in self.machines if each.price.source))


def cost_view(costs: Sequence[RunCost | None]) -> CostView | None:
    """Return what the page shows of the named runs' costs, the last one's being in question; None where nothing has a price."""
    own = costs[-1] if costs else None
    machines = machine_costs(cost for cost in costs if cost is not None)
    several = machines if len({each.machine for each in machines}) > 1 else ()
    if own is None and not several:
        return None
    models = tuple(_model(f"cost-{place}", own, model) for place, model in enumerate(own.models, 1)) if own else ()
    return CostView(run=own, models=models, machines=several)


def _model(name: str, cost: RunCost, model: str) -> ModelCosts:
    steps = tuple(step for step in cost.steps if step.model == model)
    scale = amount_scale(step.cost_per_million for step in steps)
    return ModelCosts(id=name, model=model, steps=steps, cheapest=cost.cheapest(model), scale=scale)
