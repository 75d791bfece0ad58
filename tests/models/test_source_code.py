"""A comment builds nothing anew; whatever else changes in code does."""

from pathlib import Path

import pytest

from fixtures.models import source_code
from fixtures.models.source_code import digests

CODE = "import torch\n\n\ndef create():\n    return torch.nn.Linear(4, 2)  # small\n"


def digest(folder: Path, code: str | bytes, name: str = "served.py") -> str:
    """Return the digest of a file that holds `code`."""
    file = folder / name
    file.write_bytes(code if isinstance(code, bytes) else code.encode())
    [(_, found)] = digests([(name, file)])
    return found


@pytest.mark.parametrize(
    "same", [CODE + "# nothing else\n", CODE.replace("  # small", ""), CODE.replace("\n\n", "\n"), CODE.replace("(4, 2)", "(4,2)")]
)
def test_comments_and_layout_have_no_say(tmp_path: Path, same: str) -> None:
    assert same != CODE
    assert digest(tmp_path, CODE) == digest(tmp_path, same)


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("4", "5"),
        CODE.replace("    return", "    'help'\n    return"),
        CODE + "create.batch_size = 2\n",
        CODE.replace("create():", "create():  # type: () -> torch.nn.Linear"),  # which TorchScript reads
        "if True:\n" + CODE.replace("import", "    import", 1),
    ],
)
def test_whatever_python_or_torch_reads_has(tmp_path: Path, other: str) -> None:
    assert digest(tmp_path, CODE) != digest(tmp_path, other)


@pytest.mark.parametrize("code", [b"def (", b"\xff\xfe", b"x = '\x00'", b"(" * 100_000])
def test_files_that_are_no_python_are_told_by_their_bytes(tmp_path: Path, code: bytes) -> None:
    assert digest(tmp_path, code) == digest(tmp_path, code) != digest(tmp_path, code + b" ")


def test_files_beyond_the_bound_are_told_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that lie deep are not parsed; a missing one is left out."""
    monkeypatch.setattr(source_code, "MOST_PARSED", 2)
    names = ["a/deep.py", "served.py", "none.py"]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "deep.py").write_text(CODE)
    (tmp_path / "served.py").write_text(CODE)

    before = dict(digests([(name, tmp_path / name) for name in names]))
    assert {"a/deep.py", "served.py"} == {*before}
    (tmp_path / "a" / "deep.py").write_text(CODE + "# deep\n")
    (tmp_path / "served.py").write_text(CODE + "# not deep\n")
    after = dict(digests([(name, tmp_path / name) for name in names]))
    assert (before["served.py"], False) == (after["served.py"], before["a/deep.py"] == after["a/deep.py"])


def test_a_file_that_python_warns_of_is_read(tmp_path: Path) -> None:
    assert digest(tmp_path, "x = '\\d'\n") == digest(tmp_path, "x = '\\d'  # digits\n")
