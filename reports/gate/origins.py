"""Whether each side measured the code that was asked for: where its models' modules and data came from."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from fixtures.models import model_id, of_hub, runs_own_code
from fixtures.models.origins import is_installed
from fixtures.models.weights import joined, split
from reports.gate.benchmarks import GateError
from reports.gate.checkouts import Checkout
from reports.gate.git import GitError, listed
from reports.text.plain_text import some_of

REMEDY = (
    "uninstall it, or install each side's own into an environment of its own (--base-python, --head-python); "
    "where its packages lie in another folder of the repository, name that: --source FOLDER"
)
MOST_NAMED = 3
OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")
LARGEST_READ = 64 * 2**20  # bytes; of larger files size and time of change stand for the content
_MODEL_FILE = re.compile(r"(?:code:)?(?P<path>.+\.py)(?P<function>:\w+)")
_QUOTED = re.compile(r"""'([^'\n]{1,500})'|"([^"\n]{1,500})\"""")
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origins:
    """The files of the side's own worktree that its models' code came from, relative to its top, and what a reader must know beside."""

    code: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def own_model(name: str, checkout: Checkout, here: Path) -> str:
    """Return the name by which a side finds its own version of a model that is named by a path, relative to `here` or absolute."""
    source, _, rest = name.partition(":")
    if source == "transformers" and ("/" in rest or rest.startswith(".")) and of_hub(name) is None:
        path, colon, head = rest.partition(":")
        folder = _absolute(path, here)
        own = checkout.own(folder)
        return f"{source}:{own if own.is_dir() else folder}{colon}{head}"
    if found := _MODEL_FILE.fullmatch(name):
        return f"{checkout.own(_absolute(found['path'], here))}{found['function']}"
    return name


def own_names(names: Iterable[str], head: Checkout, here: Path) -> dict[str, str]:
    """Return by id what models of the user's own files are called: `a/served.py:create` and `b/served.py:create` have one id."""
    found = {}
    for name in names:
        own = own_model(name, head, here)
        if own != name or runs_own_code(name):
            found[model_id(name)] = own.replace(f"{head.top or head.folder}{os.sep}", "")
    return found


def models_digest(checkout: Checkout, models: Iterable[str], modules: Mapping[str, str], opened: Iterable[str]) -> str:
    """Return a digest of what the side's models are made of and may change from one start of a gate to the next; empty for nothing.

    That is the code of their `modules`, and the files that they `opened` or that lie in the folder that one of `models` names. What lies in
    hidden folders, as caches do, is none of theirs. A commit tells what its own worktree holds.
    """
    top = (checkout.top or checkout.folder).resolve()
    found = {Path(file).resolve() for file in modules.values()}
    for each in (*map(Path, opened), *_files_of_folders(models)):
        path = each.resolve()
        below = path.relative_to(top) if path.is_relative_to(top) else path
        if not any(part.startswith(".") for part in below.parts) and not str(path).startswith(OF_THE_KERNEL):
            found.add(path)
    if checkout.commit:
        found = {path for path in found if not path.is_relative_to(top)}
    if not found:
        return ""
    digest = hashlib.sha256()
    for path in sorted(found):
        with suppress(OSError):  # gone by now
            told = path.stat()
            digest.update(os.fsencode(f"{path} {told.st_size} "))
            digest.update(path.read_bytes() if told.st_size <= LARGEST_READ else str(told.st_mtime_ns).encode())
    return digest.hexdigest()[:16]


def check_code_stays(checkouts: Sequence[Checkout], modules: Sequence[Mapping[str, str]]) -> Callable[[], None]:
    """Return a check that raises GateError once code of a side that no commit tells is not what it is now: its own, or its models'.

    Each pair starts new processes, which import what lies there by then. Files that a model opens do not count: it may write them.
    """

    def told() -> list[tuple[str, str]]:
        sides = zip(checkouts, modules, strict=True)
        return [(checkout.digest_now, models_digest(checkout, (), of_side, ())) for checkout, of_side in sides]

    before = told()

    def check() -> None:
        for checkout, then, now in zip(checkouts, before, told(), strict=True):
            if then != now:
                where = "code that its models have outside of its commit" if checkout.commit else "the code of the working folder"
                raise GateError(
                    f"{checkout.side}: {where} changed while the gate measured it, so its pairs are not of one code: start again and leave "
                    f"it alone meanwhile{'' if checkout.commit else f', or name a commit with --{checkout.side}'}"
                )

    return check


def _files_of_folders(models: Iterable[str]) -> Iterator[Path]:
    """Yield the files of the models that are folders of transformers': those of weights are not opened by Python."""
    for name in models:
        source, _, rest = name.partition(":")
        folder = Path(rest.partition(":")[0])
        if source == "transformers" and folder.is_absolute() and folder.is_dir():
            yield from (file for file in folder.iterdir() if file.is_file())


def own_weights(weights: str, checkout: Checkout) -> str:
    """Return the side's own version of `--weights`; a file that is in no commit serves both sides."""
    file, key = split(weights)
    own = checkout.own(file)
    return joined(own, key) if own.exists() else weights


def bases_metric(place: str | None, base: Checkout) -> str | None:
    """Return base's own version of `--evaluate`, by which both sides are judged: head cannot weaken it. One that only head has is taken."""
    if place is None:
        return None
    file, _, function = place.rpartition(":")
    own = base.own(Path(file))
    return f"{own}:{function}" if own.exists() else place


def judged_origins(checkout: Checkout, other: Checkout, modules: Mapping[str, str], opened: Sequence[str]) -> Origins:
    """Return where a side's models came from. Raises GateError for code or data of another version than the side's own."""
    if checkout.top is None or checkout.repository is None:
        return Origins()
    own, foreign = checkout.top.resolve(), _foreign(checkout, other)
    known = frozenset(listed(own, "ls-files", "-z"))
    code, outside = [], []
    for name, file in sorted(modules.items()):
        path = Path(file).resolve()
        if is_installed(str(path)):
            if twin := _twin(name, path, known):
                raise GateError(_other_version(checkout, f"module {name}", path, twin))
        elif path.is_relative_to(own):
            code.append(str(path.relative_to(own)))
        elif top := _around(path, foreign):
            raise GateError(_other_version(checkout, f"module {name}", path, str(path.relative_to(top))))
        else:
            outside.append(str(path))
    shared = []
    for each in opened:
        path = Path(each).resolve()
        if path.is_relative_to(own) or not (top := _around(path, foreign)):
            continue
        if (inside := str(path.relative_to(top))) in known:
            raise GateError(_other_version(checkout, "a file that the model opens", path, inside))
        shared.append(inside)
    notes = []
    if outside:
        notes.append(f"{some_of(outside, MOST_NAMED)}: outside the repository, so the same on both sides")
    if shared:
        notes.append(f"{some_of(shared, MOST_NAMED)}: read from the working folder and in no commit, so the same on both sides")
    return Origins(code=tuple(dict.fromkeys(code)), notes=tuple(notes))


def untracked_text(checkout: Checkout, failure: str) -> str:
    """Name the untracked files of the user's repository that a side's failure speaks of, with the remedy; empty where there are none."""
    if not checkout.commit or checkout.repository is None or checkout.top is None:
        return ""
    prefix = checkout.folder.relative_to(checkout.top)
    wanted: set[str] = set()
    for one, other in _QUOTED.findall(failure):
        path = PurePath(one or other)
        wanted.add(str(path.relative_to(checkout.top)) if path.is_relative_to(checkout.top) else os.path.normpath(prefix / path))
    for module in _NO_MODULE.findall(failure):
        inside = module.replace(".", "/")
        places = [folder.relative_to(checkout.top) for folder in checkout.sources if folder.is_relative_to(checkout.top)]
        wanted |= {str(place / name) for place in places for name in (f"{inside}.py", f"{inside}/__init__.py")}
    try:
        found = sorted(wanted.intersection(listed(checkout.repository, "ls-files", "-z", "--others")))  # ignored ones included
    except GitError:
        return ""
    if not found:
        return ""
    named = some_of(found, MOST_NAMED)
    return f"; {named}: in your working folder, but untracked, so in no commit: add it with git, or leave --{checkout.side} out"


def _foreign(checkout: Checkout, other: Checkout) -> list[Path]:
    """Return the tops below which other versions of the side's code lie, innermost first."""
    tops = [top.resolve() for top in (other.top, checkout.repository) if top is not None]
    return [top for top in tops if checkout.top is not None and top != checkout.top.resolve()]


def _around(path: Path, tops: Sequence[Path]) -> Path | None:
    return next((top for top in tops if path.is_relative_to(top)), None)


def _twin(name: str, path: Path, known: frozenset[str]) -> str | None:
    """Return the repository's own file of an installed module, None where it has none."""
    parts = name.split(".")
    inside = "/".join([*parts, path.name] if path.stem == "__init__" else [*parts[:-1], path.name])
    return next((each for each in sorted(known) if each == inside or each.endswith(f"/{inside}")), None)


def _other_version(checkout: Checkout, thing: str, path: Path, inside: str) -> str:
    where = f"its own {inside} (commit {checkout.commit[:12]})" if checkout.commit else f"{inside} of the working folder"
    return f"{checkout.side} would not measure its own code: {thing} came from {path}, expected {where}; {REMEDY}"


def _absolute(path: str, here: Path) -> Path:
    return Path(os.path.abspath(here / Path(path).expanduser()))  # noqa: PTH100 - a link of the repository is the side's own
