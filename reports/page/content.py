"""What the page shows, ready to be drawn: answers, ladders, series and machines made of saved runs. Pure."""

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime as DateTime

from reports.page.scales import Scale, amount_scale, ratio_scale
from reports.saved.machines import ABSENT, flat
from reports.saved.record import Measurement, Run, Throughput
from reports.statistics import FASTER
from reports.text.figures import counted_in
from reports.views.compare import Comparison, DifferentMachines, compare
from reports.views.cost import RunCost, StepCost
from reports.views.history import History, HistoryPoint, Series
from reports.views.ladder import Ladder, LadderRow, Stair, ladders, stairs
from reports.views.recommend import DeploymentLimits, NothingToRecommend, Recommendation, is_served, recommend

KERNELS_SHOWN = 8
WIDTH, HEIGHT = 1000, 100  # units of a history's drawing, stretched to its cell


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelView:
    """The ladder of one model, the recipe of its best step, and the scales that its drawings share."""

    id: str
    ladder: Ladder
    stairs: tuple[Stair, ...]
    throughputs: Scale
    gains: Scale
    heights: Scale

    @property
    def counted_in(self) -> str:
        """What the throughputs count: samples, or tokens of generated text."""
        return next(map(counted_in, self.ladder.measurements), "samples")

    @property
    def last_that_pays(self) -> Stair | None:
        """The highest step of the best recipe whose gain is shown to be one."""
        return next((stair for stair in reversed(self.stairs) if stair.gain.verdict == FASTER), None)

    @property
    def is_paired_with_baseline(self) -> bool:
        """Whether the best step took turns with the baseline itself, so that its gain is its speedup."""
        best = self.ladder.best
        gain = best.measurement.gain if best is not None else None
        return best is not None and gain is not None and gain.over == best.baseline and gain.low is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    id: str
    run: Run[Measurement]
    models: tuple[ModelView, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BestRecipe:
    """The best recipe of one run and model.

    `view` is the run's own part of the page, `cost` that of a million inferences; None where there is none.
    """

    run: Run[Measurement]
    model: str
    best: LadderRow | None
    view: RunView | None
    cost: StepCost | None = None
    currency: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonView:
    """Two runs compared, or the reason why they are not."""

    id: str
    base: Run[Measurement]
    head: Run[Measurement]
    comparison: Comparison | None
    ratios: Scale
    refusal: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesView:
    """A series with its drawing: SVG paths in units of WIDTH and HEIGHT, and the places of its changes of level."""

    series: Series
    line: str
    dots: str
    intervals: str
    shifts: tuple[tuple[int, HistoryPoint], ...]
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryView:
    """The series of one machine by model, and the throughput of every run by its step."""

    id: str
    history: History
    models: Mapping[str, tuple[SeriesView, ...]]
    runs: tuple[tuple[str, DateTime, str], ...]
    values: Mapping[str, tuple[tuple[float | None, ...], ...]]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the fingerprints, with each run's value."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def run_view(run: Run[Measurement], place: int) -> RunView:
    """Return a run with all its ladders; `place` makes the ids of its parts."""
    found = ladders(run.measurements, run.outcomes)
    models = tuple(_model_view(f"run-{place}-model-{number}", ladder) for number, ladder in enumerate(found, 1))
    return RunView(id=f"run-{place}", run=run, models=models)


def best_recipes(
    runs: Sequence[Run[Measurement]], views: Iterable[RunView], costs: Sequence[RunCost | None] = ()
) -> tuple[BestRecipe, ...]:
    """Return the best recipe of every model in every run, newest named first; `costs` are those of the runs."""
    by_path = {view.run.path: view for view in views}
    return tuple(
        BestRecipe(
            run=run,
            model=ladder.model,
            best=ladder.best,
            view=by_path.get(run.path),
            cost=cost.of(ladder.model, ladder.best.step) if cost and ladder.best else None,
            currency=cost.price.currency if cost else "",
        )
        for run, cost in reversed(tuple(itertools.zip_longest(runs, costs)))
        for ladder in ladders(run.measurements, run.outcomes)
    )


def within_limits(run: Run[Measurement], limits: DeploymentLimits) -> dict[str, Recommendation | str]:
    """Return what to deploy of every model of a run that a folder can serve, or why nothing is; nothing where no limit was given."""
    made: dict[str, Recommendation | str] = {}
    for model in dict.fromkeys(m.model for m in run.measurements if is_served(m)) if limits else ():
        try:
            made[model] = recommend(run.measurements, model, limits)
        except NothingToRecommend as error:
            made[model] = str(error)
    return made


def comparison_view(base: Run[Measurement], head: Run[Measurement], place: int, saved: Sequence[Run[Throughput]] = ()) -> ComparisonView:
    """Compare two runs as `compare` does, over each run's own baseline where they are not of one machine."""
    comparison, refusal = None, ""
    for across_machines in (False, True):
        try:
            comparison = compare(base, head, across_machines=across_machines, saved=saved)
        except DifferentMachines as error:
            refusal = str(error)
        else:
            break
    rows = comparison.compared if comparison else ()
    ratios = ratio_scale(value for row in rows if row.ratio for value in (row.ratio.ratio, row.ratio.low, row.ratio.high))
    return ComparisonView(id=f"comparison-{place}", base=base, head=head, comparison=comparison, ratios=ratios, refusal=refusal)


def history_view(found: History, place: int) -> HistoryView:
    """Return the series of one machine with their drawings, all over the same runs from left to right."""
    runs = sorted({(point.saved_at, point.run, point.commit) for series in found.series for point in series.points})
    places = {(saved_at, run): number for number, (saved_at, run, _) in enumerate(runs)}
    models: dict[str, list[SeriesView]] = {}
    values: dict[str, list[dict[int, float]]] = {}
    for series in found.series:
        models.setdefault(series.model, []).append(_series_view(series, places))
        values.setdefault(series.model, []).append({_place(point, places): point.samples_per_second for point in series.points})
    return HistoryView(
        id=f"history-{place}",
        history=found,
        models={model: tuple(views) for model, views in models.items()},
        runs=tuple((run, saved_at, commit) for saved_at, run, commit in runs),
        values={
            model: tuple(tuple(column.get(number) for column in columns) for number in range(len(runs)))
            for model, columns in values.items()
        },
    )


def level_changes(view: HistoryView) -> tuple[tuple[Series, HistoryPoint], ...]:
    """Return the changes of level of all steps, the newest first."""
    found = ((series, point) for series in view.history.series for point in series.shifts)
    return tuple(sorted(found, key=lambda change: change[1].saved_at, reverse=True))


def fields(runs: Sequence[Run[Measurement]]) -> tuple[Field, ...]:
    """Return every field of the runs' fingerprints, nested ones as `versions.torch`."""
    found = [flat(run.fingerprint) for run in runs]
    names = dict.fromkeys(itertools.chain.from_iterable(found))
    return tuple(Field(name, tuple(fingerprint.get(name, ABSENT) for fingerprint in found)) for name in names)


def _model_view(name: str, ladder: Ladder) -> ModelView:
    recipe = stairs(ladder)
    ends = [end for row in ladder.measured for end in (row.samples_per_second_interval or ())]
    gains = [m.gain for m in ladder.measurements if m.gain]
    return ModelView(
        id=name,
        ladder=ladder,
        stairs=recipe,
        throughputs=amount_scale([*(m.samples_per_second for m in ladder.measurements), *ends]),
        gains=ratio_scale(value for gain in gains for value in (gain.ratio, gain.low, gain.high)),
        heights=amount_scale(value for stair in recipe for value in (stair.start, stair.end, stair.start * (stair.gain.high or 0))),
    )


def _series_view(series: Series, places: Mapping[tuple[DateTime, str], int]) -> SeriesView:
    throughput = [point.samples_per_second for point in series.points]
    ends = [end for point in series.points for end in (point.interval or ())]
    # one wide interval must not flatten the line: intervals are cut at the drawing's edge
    room = 3 * (max(throughput) - min(throughput)) or 0.2 * statistics.median(throughput)
    vertical = Scale(max(min(throughput + ends), min(throughput) - room), min(max(throughput + ends), max(throughput) + room))
    across = Scale(0, max(len(places) - 1, 1))

    def x(point: HistoryPoint) -> int:
        return round(across.place(_place(point, places)) * WIDTH / 100)

    def y(value: float) -> int:
        return round(HEIGHT - vertical.place(value) * HEIGHT / 100)

    return SeriesView(
        series=series,
        line="".join(f"{'L' if number else 'M'}{x(point)} {y(point.samples_per_second)}" for number, point in enumerate(series.points)),
        dots="".join(f"M{x(point)} {y(point.samples_per_second)}h0" for point in series.points),
        intervals="".join(f"M{x(point)} {y(point.interval.low)}V{y(point.interval.high)}" for point in series.points if point.interval),
        shifts=tuple((round(x(point) - WIDTH / 2 / max(len(places), 1)), point) for point in series.shifts),
        lowest=min(throughput),
        highest=max(throughput),
    )


def _place(point: HistoryPoint, places: Mapping[tuple[DateTime, str], int]) -> int:
    return places[point.saved_at, point.run]
