"""Requirements that differ between the sides are named: packages that both share would hide them."""

from pathlib import Path

import pytest

from reports.gate.requirements import LARGEST_BYTES, requirement_changes


def sides(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "base", tmp_path / "head"
    for folder in made:
        folder.mkdir()
    return made


def test_each_change_is_named_by_file_and_package(tmp_path: Path) -> None:
    base, head = sides(tmp_path)
    (base / "requirements.txt").write_text("# what it needs\ntorch==2.12.0  # old\nTimm>=1\nnumpy\n")
    (head / "requirements.txt").write_text("numpy\ntimm>=1\ntorch==2.13.0\nTimm>=1\n")
    (base / "pyproject.toml").write_text('[project]\ndependencies = ["a>=1"]\n[project.optional-dependencies]\nx = ["a>=1"]\n')
    (head / "pyproject.toml").write_text('[project]\ndependencies = ["a>=1"]\n[project.optional-dependencies]\nx = ["a>=2"]\n')
    (head / "uv.lock").write_text("anything")
    [told] = requirement_changes(base, head)

    assert "pyproject.toml: a>=1 to a>=2; requirements.txt: torch==2.12.0 to torch==2.13.0; uv.lock: added" in told
    assert "--requirements FILE, or --base-python, --head-python" in told


@pytest.mark.parametrize("bumped", ["numpy==2.3.5", "numpy==2.5.0"])
def test_each_line_of_a_package_counts(tmp_path: Path, bumped: str) -> None:
    """One version for each Python, as `uv pip compile --universal` writes: a change of any of them is one, whichever comes last."""
    base, head = sides(tmp_path)
    lines = "numpy==2.3.5 ; python_full_version < '3.12'\nnumpy==2.5.0 ; python_full_version >= '3.12'\n"
    (base / "requirements.txt").write_text(lines)
    (head / "requirements.txt").write_text(lines.replace(bumped, "numpy==2.5.1"))
    [told] = requirement_changes(base, head)

    assert f"requirements differ (requirements.txt: {bumped} ; python" in told
    assert 1 == told.count(" to numpy==2.5.1 ; python")


def test_order_comments_and_spelling_are_no_change(tmp_path: Path) -> None:
    base, head = sides(tmp_path)
    (base / "requirements.txt").write_text("torch==2.12.0\nnumpy\n")
    (head / "requirements.txt").write_text("numpy # fast\n\n# torch\ntorch==2.12.0\n")

    assert () == requirement_changes(base, head)
    assert () == requirement_changes(base, base)


def test_hostile_files_are_left_out_or_cut(tmp_path: Path) -> None:
    """A link out of the checkout, endless and damaged files, and names that are no names."""
    base, head = sides(tmp_path)
    (tmp_path / "secret.txt").write_text("password==1\n")
    (head / "requirements-link.txt").symlink_to(tmp_path / "secret.txt")
    (head / "requirements-device.txt").symlink_to("/dev/zero")
    (head / "constraints.txt").write_bytes(b"x" * (LARGEST_BYTES + 1))
    (head / "pyproject.toml").write_text("[project\n")
    assert () == requirement_changes(base, head)
    (head / "requirements.txt").write_bytes(b"\x1b[31m\xff==1\n" + b"".join(b"p%d==1\n" % number for number in range(1000)))
    [told] = requirement_changes(base, head)
    assert "\x1b" not in told
    assert "and 981 more" in told
    assert len(told) < 4000


def test_what_each_side_has_an_environment_for_is_measured(tmp_path: Path) -> None:
    """A lock file that nobody installed stays hidden, and is said to be."""
    base, head = sides(tmp_path)
    (base / "requirements.txt").write_text("torch==2.12.0\n")
    (head / "requirements.txt").write_text("torch==2.13.0\n")
    (head / "uv.lock").write_text("anything")
    measured, hidden = requirement_changes(base, head, frozenset({"requirements.txt"}))

    assert "requirements differ (requirements.txt: torch==2.12.0 to torch==2.13.0), and each side ran with its own" == measured
    assert hidden.startswith("requirements differ (uv.lock: added), and both sides ran with the same packages")
