"""The sections of the page in their order. A new one is a function here and a template beside the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.page.content import (
    ComparisonView,
    HistoryView,
    RunView,
    best_recipes,
    comparison_view,
    fields,
    history_view,
    level_changes,
    run_view,
    within_limits,
)
from reports.page.costs import best_costs, cost_view
from reports.page.front import fronts
from reports.page.limits import machine_limits
from reports.saved.machines import machine_differences
from reports.saved.record import Calibration, Measurement, Run, Throughput
from reports.views.cost import RunCost
from reports.views.history import NothingToFollow, history
from reports.views.recommend import DeploymentLimits

MOST_WHOLE = 6
FEWEST_TO_FOLLOW = 2
MOST_BESTS_OPEN = 12  # rows; more are folded, so that they do not push the ladder out of sight
NO_LIMITS = DeploymentLimits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What sections are made of.

    `named` are the runs that the page was asked for: the first is what others are compared with, the last the one in question.
    `views` are those of them shown whole, `comparisons` of each of these with the first, the last one's first.
    `saved` are all saved runs in brief, oldest first, `histories` those of the machines of `views`, the last one's first.
    `costs` are those of the named runs, None where the machine has no price, `calibration` a later one of the machine of the run
    in question, `limits` what a deployment must keep.
    """

    named: tuple[Run[Measurement], ...]
    saved: tuple[Run[Throughput], ...]
    views: tuple[RunView, ...]
    comparisons: tuple[ComparisonView, ...]
    histories: tuple[HistoryView, ...] = ()
    costs: tuple[RunCost | None, ...] = ()
    calibration: Calibration | None = None
    limits: DeploymentLimits = NO_LIMITS

    @property
    def whole(self) -> tuple[Run[Measurement], ...]:
        return tuple(view.run for view in self.views)

    @property
    def head(self) -> RunView:
        return self.views[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One part of the page: its heading, its template, and what the template shows, there as `content`."""

    id: str
    title: str
    template: str
    content: object


def material(
    named: tuple[Run[Measurement], ...],
    saved: tuple[Run[Throughput], ...],
    costs: Sequence[RunCost | None] = (),
    calibration: Calibration | None = None,
    limits: DeploymentLimits = NO_LIMITS,
) -> Material:
    """Choose what of the named runs is shown whole: all, or of many the first and the last ones."""
    whole = named if len(named) <= MOST_WHOLE else (named[0], *named[1 - MOST_WHOLE :])
    return Material(
        named=named,
        saved=saved,
        views=tuple(run_view(run, place) for place, run in enumerate(whole, 1)),
        comparisons=tuple(comparison_view(whole[0], head, place, saved) for place, head in enumerate(whole[:0:-1], 1)),
        histories=_followed([run.fingerprint for run in reversed(whole)], saved),
        costs=tuple(costs),
        calibration=calibration,
        limits=limits,
    )


def _answers(given: Material) -> Section:
    head = given.head.run
    of_head = (view for view in given.histories if (head.name, head.saved_at, head.commit.short) in view.runs)
    followed = next(of_head, None)
    content = {
        "head": given.head,
        "within": within_limits(given.head.run, given.limits),
        "against": given.comparisons[:1],
        "bests": best_recipes(given.named, given.views, given.costs) if len(given.named) > 1 else (),
        "most_open": MOST_BESTS_OPEN,
        "costs": best_costs(given.head, given.costs[-1] if given.costs else None),
        "followed": followed,
        "changes": level_changes(followed) if followed else (),
    }
    return Section(id="answers", title="In short", template="answers.html", content=content)


def _ladders(given: Material) -> Section:
    return Section(id="ladders", title="Ladder" if len(given.views) == 1 else "Ladders", template="ladders.html", content=given.views[::-1])


def _limits(given: Material) -> Section | None:
    found = machine_limits(given.head.run, given.calibration)
    return Section(id="limits", title="Share of the machine's peak", template="limits.html", content=found) if found else None


def _fronts(given: Material) -> Section | None:
    found = fronts(given.head.run)
    return Section(id="front", title="Throughput and latency", template="front.html", content=found) if found else None


def _costs(given: Material) -> Section | None:
    found = cost_view(given.costs)
    return Section(id="cost", title="Cost", template="cost.html", content=found) if found else None


def _comparisons(given: Material) -> Section | None:
    if not given.comparisons:
        return None
    return Section(id="comparisons", title="Comparison", template="comparisons.html", content=given.comparisons)


def _followed(fingerprints: Sequence[Mapping[str, Any]], saved: Sequence[Run[Throughput]]) -> tuple[HistoryView, ...]:
    """Return the history of each machine that has one, in this order."""
    found: list[HistoryView] = []
    for place, fingerprint in enumerate(fingerprints):
        if all(machine_differences(fingerprint, earlier) for earlier in fingerprints[:place]):
            try:
                followed = history(saved, fingerprint)
            except NothingToFollow:
                continue
            if followed.runs >= FEWEST_TO_FOLLOW:
                found.append(history_view(followed, len(found) + 1))
    return tuple(found)


def _histories(given: Material) -> Section | None:
    return Section(id="history", title="History", template="history.html", content=given.histories) if given.histories else None


def _machines(given: Material) -> Section:
    content = {"runs": given.views, "fields": fields(given.whole)}
    return Section(id="machines", title="Machine and environment", template="machines.html", content=content)


# Here a section is added; one that returns None, for want of data, leaves no trace on the page.
SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    _answers,
    _ladders,
    _fronts,
    _limits,
    _costs,
    _comparisons,
    _histories,
    _machines,
)


def sections(given: Material) -> tuple[Section, ...]:
    """Return the sections for which there are data."""
    return tuple(section for make in SECTIONS if (section := make(given)) is not None)
