"""The folders of fixtures/ and reports/ stand in layers: a module imports from its own folder and from those below, in functions, too."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.artifacts import building_code
from fixtures.bench.launch import ROOT

BASE = "reports.text.refusal"  # one class, which stands below all folders
LAYERS = (  # docs/architecture.md says what each holds
    BASE,
    *("fixtures.machine", "reports.saved", "reports.statistics", "reports.text"),
    *("fixtures.protocol", "fixtures.artifacts", "fixtures.inputs", "fixtures.models", "fixtures.runtimes"),
    *("fixtures.steps", "fixtures.training", "fixtures.tasks", "fixtures.generation", "fixtures.lengths"),
    *("fixtures.bench", "fixtures.session"),
    *("reports.views", "reports.show"),
    *("fixtures", "fixtures.hosts"),  # pytest's own summary is a view that is shown
    *("reports.commands", "reports.gate", "reports.versions", "reports.page", "reports.deploy", "reports.tune", "reports.under_load"),
    "reports",
)
# The catalogue lists the steps of training, of generation and of texts whose lengths vary, too.
UPWARD = {("fixtures.steps.optimizations", f"fixtures.{family}.{family}_steps") for family in ("training", "generation", "lengths")}
MOST_ON_TOP = 8
APART = ROOT / "reports" / "deploy" / "emitted"  # files of a deployment, which imports nothing of the suite


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """The name and code of every module in `folders`."""
    for file in sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        if APART not in file.parents:
            yield ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), ast.parse(file.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def layer(name: str) -> int:
    """The layer of a module: that of the longest name in LAYERS that it begins with."""
    return max((len(each), number) for number, each in enumerate(LAYERS) if f"{name}.".startswith(f"{each}."))[1]


def upward(name: str, tree: ast.Module) -> list[tuple[str, str]]:
    """The imports of a module from layers above its own."""
    return [
        (name, other)
        for other in imports(tree)
        if other.partition(".")[0] in {"fixtures", "reports"}
        and layer(other) > layer(name)
        and not {(name, other), (name, other.rpartition(".")[0])} & UPWARD
    ]


def test_imports_lead_down() -> None:
    assert [] == [each for name, tree in modules("fixtures", "reports") for each in upward(name, tree)]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fixtures.bench.turns", "from reports.views.ladder import ladders"),
        ("reports.statistics", "def gain():\n    import fixtures.bench.rig"),
        ("fixtures.steps.recipe", "from fixtures import measure"),
    ],
)
def test_an_import_that_leads_up_is_found(name: str, code: str) -> None:
    assert [] != upward(name, ast.parse(code))


def test_every_folder_has_a_layer_and_its_name() -> None:
    """A folder without `__init__.py` is in no wheel."""
    folders = {file.parent for top in ("fixtures", "reports") for file in (ROOT / top).rglob("*.py")}

    assert set(LAYERS) - {BASE} == {".".join(folder.relative_to(ROOT).parts[:2]) for folder in folders}
    assert {folder for folder in folders if not (folder / "__init__.py").is_file()} == set()


@pytest.mark.parametrize("folder", ["fixtures", "reports"])
def test_few_modules_lie_on_top(folder: str) -> None:
    assert len(list((ROOT / folder).glob("*.py"))) <= MOST_ON_TOP


def test_a_folder_of_building_code_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """Artifacts are kept by a digest of that code: a folder that nobody reads would keep stale ones."""
    for name in building_code.BUILDING[:-1]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("")

    with pytest.raises(FileNotFoundError, match=f"{building_code.BUILDING[-1]}: artifacts are built by code in this folder"):
        building_code.code_digest(tmp_path)


def test_code_in_a_folder_below_is_digested(tmp_path: Path) -> None:
    for name in building_code.BUILDING:
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "code.py").write_text("")
    digests = {building_code.code_digest(tmp_path)}
    for name in building_code.BUILDING:
        (tmp_path / name / "below" / "code.py").write_text("changed = True")
        digests.add(building_code.code_digest(tmp_path))

    assert len(digests) == 1 + len(building_code.BUILDING)


def test_a_class_name_stands_for_one_thing() -> None:
    """One word, one thing (docs/glossary.md)."""
    found = defaultdict(list)
    for name, tree in modules("fixtures", "reports", "emulation", "benchmarks", "inference_ladder"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(name)

    assert {} == {word: places for word, places in found.items() if len(places) > 1}
