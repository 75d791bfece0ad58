"""Where the time goes as a picture, PNG or SVG. Computes nothing. Needs matplotlib, and no display."""

from typing import TYPE_CHECKING

from reports.saved.record import OperatorTime
from reports.show.pictures import BAR, BEST, name_rows, picture, sheet
from reports.text.figures import milliseconds
from reports.text.plain_text import plain
from reports.views.profile import Breakdown, StepProfile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 30
FEWEST_PLACES = 4
LONGEST_NAME = 52
THICKNESS = 0.8


def profile_picture(found: Breakdown, suffix: str) -> bytes:
    """Draw the self times of the operators as bars, those of two steps beside each other on one scale."""
    rows = found.rows[:MOST_ROWS]
    places = max(len(rows), FEWEST_PLACES)
    colours = (BEST, BAR) if len(found.steps) > 1 else (BAR,)
    figure = sheet(11, 1.4 + (0.12 + 0.16 * len(found.steps)) * places)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _bars(axes, place, row.sides, colours)
    name_rows(axes, [row.name for row in rows], places=places, longest=LONGEST_NAME)
    for each, colour in zip(found.steps, colours, strict=True):
        axes.barh(0, 0, color=colour, label=_label(each))
    for text in axes.legend(loc="lower right", fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)
    axes.margins(x=0.16)
    axes.set_xlim(left=0)
    axes.set_xlabel("ms in the operator itself, in one inference")
    left_out = f" ({len(found.rows) - len(rows)} operators left out)" if len(found.rows) > len(rows) else ""
    axes.set_title(f"{plain(found.steps[0].model, 60)}: where the time goes{left_out}", parse_math=False, loc="left", fontsize=10)
    return picture(figure, suffix)


def _bars(axes: "Axes", place: int, sides: tuple[OperatorTime | None, ...], colours: tuple[str, ...]) -> None:
    """Draw the bars of one row, one below the other and their middle at `place`."""
    thickness = THICKNESS / len(sides)
    present = [(side, colour) for side, colour in zip(sides, colours, strict=True) if side is not None]
    for number, (side, colour) in enumerate(present):
        middle = place + thickness * (number - (len(present) - 1) / 2)
        axes.barh(middle, 1000 * side.self_s, height=0.9 * thickness, color=colour)
        label = f"{milliseconds(side.self_s)} ms, {100 * side.share:.1f} %"
        axes.annotate(label, (1000 * side.self_s, middle), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7)


def _label(profiled: StepProfile) -> str:
    inference = f"{milliseconds(profiled.profile.inference_s)} ms, batch {profiled.batch_size}"
    return f"{plain(profiled.step, 40)}: {inference}, under {plain(profiled.profile.source, 40)}"
