"""The suite by the name that it is installed by: `inference_ladder.reports.saved.load` is what its own modules call `reports.saved.load`.

In a clone the folders `fixtures`, `reports` and `benchmarks` are packages, and modules import each other by these names. Importing this
package lets them do so in any process, from any folder; without it nothing of the suite is importable by a short name. Each module is
one object, whichever of its names it was imported by.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE if (HERE / "fixtures").is_dir() else HERE.parent  # installed from a wheel, or a clone and an editable installation
FOLDERS = ("fixtures", "reports", "benchmarks")
# A conftest.py that names it stands beside `-p fixtures.suite` of the command: pytest takes no plugin by two names.
APART = f"{__name__}.fixtures.suite"


def main() -> int:
    """Run the command `ladder`, in whose process the short names are the suite's, whatever else is installed or lies in the folder."""
    sys.path.insert(0, str(ROOT))
    from reports.command_line import main as command

    return command()


class _Names(MetaPathFinder):
    """Finds the suite's modules by both names: the folders by their short ones, and all below this package by its name."""

    def find_spec(self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        top, _, own = fullname.partition(".")
        if fullname in FOLDERS:
            theirs = _found_elsewhere(fullname)  # of two that have code the path decides; a mere folder gives way
            return theirs if theirs is not None and theirs.origin is not None else PathFinder.find_spec(fullname, [str(ROOT)])
        if top != __name__ or own.partition(".")[0] not in FOLDERS:
            return None
        if own in FOLDERS:
            for folder in (own, *FOLDERS[:2]):
                _refuse_another(folder)
        if fullname == APART:
            return spec_from_file_location(fullname, ROOT / "fixtures" / "suite.py")
        return _spec_by_this_name(fullname, own)


class _Same(Loader):
    """Gives a name below this package the module of the short name."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._spec: ModuleSpec | None = None

    def create_module(self, _spec: ModuleSpec) -> ModuleType:
        module = import_module(self._own)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # importing by another name has set that name's

    def get_code(self, _fullname: str) -> CodeType | None:
        """Return the code, for `python -m`."""
        found = _own_spec(self._own)
        code: CodeType | None = found.loader.get_code(self._own) if found is not None else None  # type: ignore[union-attr]
        return code


def _spec_by_this_name(fullname: str, own: str) -> ModuleSpec | None:
    found = _own_spec(own)
    if found is None:
        return None
    spec = ModuleSpec(fullname, _Same(own), origin=found.origin, is_package=found.submodule_search_locations is not None)
    spec.has_location = found.has_location
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.extend(found.submodule_search_locations or ())
    return spec


def _own_spec(own: str) -> ModuleSpec | None:
    """Return how a module is found by its short name, without importing more than its packages."""
    package, _, _ = own.rpartition(".")
    return PathFinder.find_spec(own, list(import_module(package).__path__) if package else [str(ROOT)])


def _found_elsewhere(folder: str) -> ModuleSpec | None:
    """Return what Python would find by a short name without this package."""
    others = (finder for finder in sys.meta_path if not isinstance(finder, _Names) and hasattr(finder, "find_spec"))
    return next((spec for finder in others if (spec := finder.find_spec(folder, None)) is not None), None)


def _refuse_another(folder: str) -> None:
    """Refuse a process in which somebody else's package has the name of one of the folders."""
    module = sys.modules.get(folder)
    if module is not None:
        places, has_code = [*getattr(module, "__path__", ()), getattr(module, "__file__", None)], True
    else:
        spec = _found_elsewhere(folder)
        places = [*(spec.submodule_search_locations or ()), spec.origin] if spec is not None else []
        has_code = spec is not None and spec.origin is not None  # a mere folder of that name gives way
    ours = (ROOT / folder).resolve()
    theirs = [place for place in places if place is not None and not Path(place).resolve().is_relative_to(ours)]
    if theirs and has_code:
        reason = (
            f"{__name__}: {theirs[0]} is another package called {folder}, the name by which the suite's modules import each other: "
            "measure by `ladder run FILE`, in whose processes the name is the suite's, or rename that package"
        )
        pytest = sys.modules.get("pytest")  # which shows its own errors without a traceback
        raise ImportError(reason) if pytest is None else pytest.UsageError(reason)


sys.meta_path.insert(0, _Names())
