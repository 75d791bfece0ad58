"""Which code each side measures: its own worktree's, or an error that names the file and the remedy."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reports.gate.benchmarks import GateError
from reports.gate.checkouts import Checkout, checked_out, source_folders
from reports.gate.origins import (
    bases_metric,
    check_code_stays,
    judged_origins,
    models_digest,
    own_model,
    own_names,
    own_weights,
    untracked_text,
)
from tests.gate.conftest import Repository, committed

MODEL = "def create():\n    return {}\n"


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository of a package in `src`, with two commits."""
    versions = ({"src/mynet/__init__.py": MODEL.format(work), "src/mynet/weights.bin": work} for work in ("1", "2"))
    made = committed(tmp_path / "repository", *versions)
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture
def sides(other: Repository, tmp_path: Path) -> "Iterator[tuple[Checkout, Checkout]]":
    """Checkouts of both commits."""
    with checked_out("base", "HEAD~1", None, tmp_path / "base") as base, checked_out("head", "HEAD", None, tmp_path / "head") as head:
        yield base, head


def package(folder: Path) -> str:
    return str(folder / "src" / "mynet" / "__init__.py")


def test_code_of_the_own_worktree_is_named(sides: tuple[Checkout, Checkout]) -> None:
    base, head = sides
    assert ("src/mynet/__init__.py",) == judged_origins(base, head, {"mynet": package(base.folder)}, []).code


@pytest.mark.parametrize("where", ["the user's working folder", "the other side", "site-packages"])
def test_code_of_another_version_is_an_error(sides: tuple[Checkout, Checkout], other: Repository, tmp_path: Path, where: str) -> None:
    """What an editable install, a stale path or an installed copy brings in would make head be compared with head."""
    base, head = sides
    copy = tmp_path / "lib" / "site-packages" / "mynet" / "__init__.py"
    copy.parent.mkdir(parents=True)
    copy.write_text(MODEL)
    file = {"the user's working folder": package(other.folder), "the other side": package(head.folder), "site-packages": str(copy)}[where]

    with pytest.raises(GateError, match="base would not measure its own code: module mynet came from") as refused:
        judged_origins(base, head, {"mynet": file}, [])
    assert file in str(refused.value)
    assert "src/mynet/__init__.py" in str(refused.value)
    assert "--source FOLDER" in str(refused.value)


def test_installed_package_of_others_is_no_error(sides: tuple[Checkout, Checkout], tmp_path: Path) -> None:
    file = str(tmp_path / "lib" / "site-packages" / "theirnet" / "__init__.py")
    assert ((), ()) == (
        judged_origins(*sides, {"theirnet": file}, []).code,
        judged_origins(*sides, {"theirnet": file}, []).notes,
    )


def test_code_outside_the_repository_is_told(sides: tuple[Checkout, Checkout], tmp_path: Path) -> None:
    file = str(tmp_path / "elsewhere.py")
    assert (f"{file}: outside the repository, so the same on both sides",) == judged_origins(*sides, {"elsewhere": file}, []).notes


def test_tracked_data_of_another_version_is_an_error(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    """The factory opened the working folder's weights by an absolute path: head's for both sides."""
    with pytest.raises(GateError, match=r"a file that the model opens came from .*weights\.bin"):
        judged_origins(*sides, {}, [str(other.folder / "src" / "mynet" / "weights.bin")])


def test_untracked_data_of_the_working_folder_is_told(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    file = other.folder / "downloaded.bin"
    file.write_text("")
    expected = "downloaded.bin: read from the working folder and in no commit, so the same on both sides"
    assert (expected,) == judged_origins(*sides, {}, [str(file)]).notes


def test_working_folder_is_its_own_code(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    working = replace(sides[1], commit="", folder=other.folder, top=other.folder)
    assert ("src/mynet/__init__.py",) == judged_origins(working, sides[0], {"mynet": package(other.folder)}, []).code


@pytest.mark.parametrize(
    "name", ["{here}/src/mynet/__init__.py:create", "src/mynet/__init__.py:create", "code:./src/mynet/__init__.py:create"]
)
def test_model_named_by_a_path_is_each_sides_own(sides: tuple[Checkout, Checkout], other: Repository, name: str) -> None:
    for side in sides:
        found = own_model(name.format(here=other.folder), side, other.folder)
        assert f"{package(side.folder)}:create" == found


def test_models_of_own_files_are_told_apart_by_their_paths(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    """As both sides have them, whatever folder the gate is started in; names of libraries tell themselves apart."""
    (sides[1].folder / "my-gpt").mkdir()
    names = ["a/served.py:create", f"{other.folder}/a/other.py:create", "mynet:create", "transformers:./my-gpt", "resnet50"]
    expected = {
        "served.create": "a/served.py:create",
        "other.create": "a/other.py:create",
        "mynet.create": "mynet:create",
        "transformers.my-gpt": "transformers:my-gpt",
    }
    assert expected == own_names(names, sides[1], other.folder)
    assert "b/served.py:create" == own_names(["served.py:create"], sides[1], other.folder / "b")["served.create"]


@pytest.mark.parametrize("head", ["", ":ForCausalLM"])
def test_folder_of_transformers_is_each_sides_own(sides: tuple[Checkout, Checkout], other: Repository, head: str) -> None:
    for side in sides:
        (side.folder / "my-gpt").mkdir()
        for name in ("./my-gpt", str(other.folder / "my-gpt")):
            assert f"transformers:{side.folder / 'my-gpt'}{head}" == own_model(f"transformers:{name}{head}", side, other.folder)


def test_pairs_of_the_working_folder_are_of_the_code_and_data_that_its_models_had(
    sides: tuple[Checkout, Checkout], other: Repository
) -> None:
    """Whoever mends a regression there and starts the gate again with its --out must not be judged by the pairs of before."""
    working, module = replace(sides[1], commit="", folder=other.folder, top=other.folder), Path(package(other.folder))
    opened, folder = other.folder / "data.bin", other.folder / "my-gpt"
    folder.mkdir()
    for file in (opened, folder / "model.safetensors", other.folder / "notes.md", other.folder / ".cache"):
        file.write_text("before")

    def digest() -> str:
        files = [str(opened), str(other.folder / ".cache")]
        return models_digest(working, [f"transformers:{folder}:ForCausalLM"], {"mynet": str(module)}, files)

    seen = [digest()]
    for unused in (other.folder / "notes.md", other.folder / ".cache"):
        unused.write_text("after!")
        assert seen[0] == digest()
    for used in (module, opened, folder / "model.safetensors"):
        used.write_text("after!")
        seen.append(digest())
    assert 4 == len({*seen})


def test_code_that_is_edited_while_a_gate_measures_it_ends_the_gate(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    """Pairs before and after the edit would be of two heads; a commit stays what it is, and a model may write what it opens."""
    working, module = replace(sides[1], commit="", folder=other.folder, top=other.folder), Path(package(other.folder))
    check = check_code_stays((sides[0], working), [{"mynet": package(sides[0].folder)}, {"mynet": str(module)}])
    (other.folder / "src" / "mynet" / "weights.bin").write_text("another")
    Path(package(sides[0].folder)).touch()
    check()
    module.write_text(MODEL.format("slower"))

    with pytest.raises(GateError, match=r"^head: the code of the working folder changed .* or name a commit with --head$"):
        check()


def test_edited_fixtures_of_the_working_folder_end_the_gate(other: Repository, tmp_path: Path) -> None:
    worker = other.folder / "fixtures" / "side.py"
    worker.parent.mkdir()
    worker.write_text("before")
    with checked_out("base", None, None, tmp_path / "base") as working:
        check = check_code_stays((working,), [{}])
        check()
        worker.write_text("after")
        with pytest.raises(GateError, match=r"^base: the code of the working folder changed"):
            check()


def test_pairs_of_a_commit_are_of_the_code_and_data_that_no_commit_tells(sides: tuple[Checkout, Checkout], tmp_path: Path) -> None:
    """Its own worktree is what the commit says; a factory elsewhere may be edited before the gate is started again."""
    own, elsewhere, folder = package(sides[1].folder), tmp_path / "elsewhere.py", tmp_path / "my-gpt"
    folder.mkdir()
    for file in (elsewhere, folder / "model.safetensors"):
        file.write_text("before")

    def digest() -> str:
        return models_digest(sides[1], [f"transformers:{folder}"], {"mynet": own, "elsewhere": str(elsewhere)}, ["/proc/self/stat"])

    assert "" == models_digest(sides[1], [], {"mynet": own}, ["/proc/self/stat", "/proc/uptime"])
    seen = [digest()]
    for used in (elsewhere, folder / "model.safetensors"):
        used.write_text("after!")
        seen.append(digest())
    assert 3 == len({*seen})


@pytest.mark.parametrize(
    "name", ["mynet:create", "resnet50", "timm:vit_tiny_patch16_224", "transformers:bert", "transformers:org/name@main"]
)
def test_other_names_stay_as_they_are(sides: tuple[Checkout, Checkout], other: Repository, name: str) -> None:
    assert name == own_model(name, sides[0], other.folder)


def test_model_outside_the_repository_is_that_file(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    assert f"{other.folder.parent}/model.py:create" == own_model("../model.py:create", sides[0], other.folder)


def test_metric_is_bases_own_and_one_that_base_lacks_is_as_it_was_named(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    tracked = next(file for file in (sides[0].folder / "src").rglob("*.py"))
    inside = tracked.relative_to(sides[0].folder)
    assert f"{tracked}:f1" == bases_metric(f"{other.folder / inside}:f1", sides[0])
    (other.folder / "new.py").write_text("")
    assert f"{other.folder}/new.py:f1" == bases_metric(f"{other.folder}/new.py:f1", sides[0])
    assert bases_metric(None, sides[0]) is None


def test_weights_are_each_sides_own_where_they_are_tracked(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    inside = Path("src", "mynet", "weights.bin")
    assert str(sides[0].folder / inside) == own_weights(str(other.folder / inside), sides[0])
    untracked = other.folder / "other.bin"
    untracked.write_text("")
    assert str(untracked) == own_weights(str(untracked), sides[0])


@pytest.mark.parametrize(
    "failure",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: '{top}/data/w.bin'",
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/w.bin'",
        "ModuleNotFoundError: No module named 'mynet.secret'",
    ],
)
def test_untracked_files_that_a_failure_speaks_of_are_named(sides: tuple[Checkout, Checkout], other: Repository, failure: str) -> None:
    for name in ("data/w.bin", "src/mynet/secret.py", "data/unrelated.bin"):
        (other.folder / name).parent.mkdir(exist_ok=True)
        (other.folder / name).write_text("")
    told = untracked_text(sides[0], failure.format(top=sides[0].folder))

    assert "untracked, so in no commit: add it with git" in told
    assert ("data/w.bin" in told) != ("src/mynet/secret.py" in told)
    assert "unrelated" not in told
    assert "" == untracked_text(sides[0], "RuntimeError: 'something else'")


def test_layout_tells_where_packages_lie(tmp_path: Path) -> None:
    (tmp_path / "src" / "mynet").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    assert (tmp_path / "src", tmp_path) == source_folders(tmp_path, ())
    (tmp_path / "pyproject.toml").write_text('[tool.setuptools.packages.find]\nwhere = ["lib"]\n')
    assert (tmp_path / "lib", tmp_path / "src", tmp_path) == source_folders(tmp_path, ())
    assert (tmp_path / "python", tmp_path) == source_folders(tmp_path, ["python"])
    (tmp_path / "pyproject.toml").write_text('[tool.setuptools.packages.find]\nwhere = [["x"], 1, "lib"]\n')
    assert (tmp_path / "lib", tmp_path / "src", tmp_path) == source_folders(tmp_path, ())
    (tmp_path / "src" / "__init__.py").write_text("")  # then src is a package itself
    assert (tmp_path / "lib", tmp_path) == source_folders(tmp_path, ())


@pytest.mark.parametrize("name", ["/srv/src", "../src"])
def test_source_folder_is_the_repositorys(tmp_path: Path, name: str) -> None:
    with pytest.raises(GateError, match="expected a folder of the repository"):
        source_folders(tmp_path, [name])


def test_inherited_module_path_is_each_sides_own(sides: tuple[Checkout, Checkout], other: Repository) -> None:
    found = sides[0].module_path(f"{other.folder / 'tools'}:/srv/shared")
    assert f"{sides[0].folder / 'src'}:{sides[0].folder}:{sides[0].folder / 'tools'}:/srv/shared" == found


def test_checkout_outside_git_has_no_other_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with checked_out("base", None, None, tmp_path / "base") as made:
        assert None is made.top
        assert () == judged_origins(made, made, {"mynet": "/anywhere/mynet.py"}, []).code
