"""Every refusal has one form: what, where, found against expected, and the next action."""

import ast
import re
from collections.abc import Iterator

import pytest

from fixtures.bench.launch import ROOT

REFUSALS = {
    *("UsageError", "ThreadsError", "UnsafeCache", "UnsupportedSystemError", "UnknownModelError", "WeightsError", "DegenerateError"),
    *("ArgumentTypeError", "CannotMeasure", "CannotPlace", "CannotPlot", "DifferentMachines", "GateError", "NoFolder", "NoProfile"),
    *("NoSuchRun", "NoSuchBenchmark", "NothingToFollow", "NothingToRecommend", "PriceError", "UnreadableRun", "BenchmarkAppError"),
    *("LabelsError", "OutputError", "TrialError", "WrittenInputError", "NoGrid", "NoSetMeasured", "UnknownRecipe", "JournalError"),
    *("ImagesError", "LengthsError", "TextsError", "EvaluateError", "PicturesError"),
}
ACTIONS = (
    "add|allow|ask|bring|build|calibrate|check|choose|compare|delete|download|end|expected|export|feed|fetch|fix|"
    "free|give|go|hold|install|keep|lay|leave|let|limit|load|look|make|measure|mend|move|name|pass|pick|put|raise|"
    "read|remove|rename|return|run|save|say|see|seed|serve|set|shorten|show|start|stop|take|try|turn|unset|update|"
    "upgrade|use|wait|widen|wrap|write"
)
ACTION = re.compile(rf"(?:^|[;:(.,`] ?|\b(?:or|and|first|either|then|to) )(?:only )?(?:{ACTIONS})\b", re.IGNORECASE)


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the constant text of each refusal that is made in a module; `…` stands for what it fills in.

    Those that end with what another refusal says are left to that one.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in REFUSALS:
            text = _text(node.args[0])
            if text.strip("… .:;") and not text.endswith((": …", "; …", "-> …", "the side …")):  # what another refusal or a library says
                yield node.lineno, text


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"


REFUSED = [
    pytest.param(text, id=f"{file.relative_to(ROOT)}:{line}")
    for folder in ("fixtures", "reports")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "emitted" not in file.parts
    for line, text in texts(ast.parse(file.read_text()))
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_names_the_next_action(text: str) -> None:
    assert ACTION.search(text), text


def test_most_refusals_are_found() -> None:
    """A class that is renamed must not leave this test with nothing to read."""
    assert len(REFUSED) > 120


@pytest.mark.parametrize(
    ("text", "names_one"),
    [
        ("--weights 'x.pt': there is no file '/x.pt'; name one that exists", True),
        ("--pairs 0: expected a whole number of at least 1", True),
        ("--weights 'x.pt': no such file", False),
        ("outputs contain NaN", False),
        ("is another run using the same cache?", False),
    ],
)
def test_a_sentence_without_an_action_is_noticed(text: str, names_one: bool) -> None:
    assert names_one == bool(ACTION.search(text))
