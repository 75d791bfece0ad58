"""The page as HTML. Computes nothing; every name is escaped by Jinja2 and stripped of control and format characters."""

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from inspect import isfunction
from types import ModuleType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.page import front
from reports.page.content import HEIGHT, KERNELS_SHOWN, WIDTH
from reports.page.sections import Material, sections
from reports.statistics import FASTER, NO_EFFECT, SLOWER
from reports.statistics.changepoints import FEWEST_RUNS
from reports.statistics.latency import tail_s
from reports.text import figures
from reports.text.plain_text import plain
from reports.views.ladder import int8_text, over_float_text, rivals_text, without_text
from reports.views.tables import comparison
from reports.views.tables.cost import money, price_short, price_text
from reports.views.tables.history import disturbed_text, machine_shift_text
from reports.views.tables.roofline import GIGA, percent
from reports.views.weights import weights_line

MOST_CHANGES = 4  # named at the top; the history has all
_SIGNS = {FASTER: "▲", SLOWER: "▼", NO_EFFECT: "="}
_CLASSES = {FASTER: "up", SLOWER: "down", NO_EFFECT: "even"}


def page_html(given: Material) -> str:
    """Return the whole document: style and script are inside, and nothing else may load or run."""
    environment = _environment()
    style, script = (_source(environment, name) for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - likewise
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'",
        given=given,
        sections=sections(given),
    )


@cache
def _environment() -> Environment:
    """Return the templates with what they are filled by: each is compiled once in a process."""
    environment = Environment(
        loader=PackageLoader("reports.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= _filters()
    environment.globals |= {"KERNELS_SHOWN": KERNELS_SHOWN, "FEWEST_RUNS": FEWEST_RUNS, "MOST_CHANGES": MOST_CHANGES}
    environment.globals |= {"WIDTH": WIDTH, "HEIGHT": HEIGHT, "FRONT_WIDTH": front.WIDTH, "FRONT_HEIGHT": front.HEIGHT}
    environment.globals |= {"int8_text": int8_text, "without_text": without_text, "weights_line": weights_line}
    return environment


def _filters() -> dict[str, Callable[..., Any]]:
    """Every function that makes text of figures or of a comparison is a filter, under its own name."""
    others = (disturbed_text, machine_shift_text, money, plain, price_short, price_text, rivals_text, tail_s, over_float_text, percent)
    return {
        **_functions(figures),
        **_functions(comparison),
        **{function.__name__: function for function in others},
        "sign": lambda verdict: _SIGNS.get(verdict, "?"),
        "kind": lambda verdict: _CLASSES.get(verdict, "open"),
        "precise": lambda value: "" if value is None else f"{value:.6g}",  # to sort by
        "giga": lambda value: figures.NONE if value is None else figures.significant(value / GIGA),
        # It breaks, if it must, before the interval only.
        "gain_text": lambda gain: figures.gain_short(gain).replace(" %", "\u00a0%").replace(", ", ",\u00a0"),
        "assignments": lambda fields: "; ".join(
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in fields.items()
        ),
    }


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return a module's own public functions by name."""
    return {name: each for name, each in vars(module).items() if isfunction(each) and each.__module__ == module.__name__ and name[0] != "_"}


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _hash(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"
