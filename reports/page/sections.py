"""The sections of the page in their order. A new one is an entry of `sections` and a template beside the others."""

from collections.abc import Mapping, Sequence
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
from reports.page.costs import cost_view
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
    histories: tuple[HistoryView, ...]
    costs: tuple[RunCost | None, ...]
    calibration: Calibration | None
    limits: DeploymentLimits

    @property
    def whole(self) -> tuple[Run[Measurement], ...]:
        return tuple(view.run for view in self.views)

    @property
    def head(self) -> RunView:
        return self.views[-1]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: its heading, and what its template, which is called as its id, shows as `content`."""

    id: str
    title: str
    content: object


def material(
    named: tuple[Run[Measurement], ...],
    saved: tuple[Run[Throughput], ...],
    costs: Sequence[RunCost | None],
    calibration: Calibration | None,
    limits: DeploymentLimits,
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


def sections(given: Material) -> tuple[Section, ...]:
    """Return the sections for which there are data, in their order; one without content leaves no trace on the page."""
    run = given.head.run
    known = (
        Section("answers", "In short", _answers(given)),
        Section("ladders", "Ladder" if len(given.views) == 1 else "Ladders", given.views[::-1]),
        Section("front", "Throughput and latency", fronts(run)),
        Section("limits", "Share of the machine's peak", machine_limits(run, given.calibration)),
        Section("cost", "Cost", cost_view(given.costs)),
        Section("comparisons", "Comparison", given.comparisons),
        Section("history", "History", given.histories),
        Section("machines", "Machine and environment", {"runs": given.views, "fields": fields(given.whole)}),
    )
    return tuple(section for section in known if section.content)


def _answers(given: Material) -> dict[str, object]:
    head = given.head.run
    of_head = (view for view in given.histories if (head.name, head.saved_at, head.commit.short) in view.runs)
    followed = next(of_head, None)
    return {
        "head": given.head,
        "within": within_limits(head, given.limits),
        "against": given.comparisons[:1],
        "bests": best_recipes(given.named, given.views, given.costs) if len(given.named) > 1 else (),
        "most_open": MOST_BESTS_OPEN,
        "cost": given.costs[-1] if given.costs else None,
        "followed": followed,
        "changes": level_changes(followed) if followed else (),
    }


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
