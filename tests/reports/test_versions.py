"""Steps by release: which runs count, what broke, and the gains of two interpreters that took turns."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from fixtures.machine.versions import cuda_on_arm
from reports.__main__ import main
from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Judged, Verdict
from reports.gate.result import Result, Row
from reports.saved.load import read_run
from reports.saved.machines import Difference
from reports.show.tables import tables_markdown
from reports.versions import VersionCell, VersionRow, Versions, comparable, from_runs, with_pairs
from reports.versions.tables import versions_table
from tests.gate.pairs import held, pair, result, side
from tests.processes import program
from tests.reports.saved_runs import FINGERPRINT, benchmark, outcome, save, saved_run

EMPTY = Versions(package="torch", versions=(), rows=(), broken=())


def with_torch(version: str, build: str = "CPU", **others: Any) -> dict[str, Any]:
    """The usual machine, with another torch."""
    return FINGERPRINT | {"versions": FINGERPRINT["versions"] | {"torch": version}, "builds": {"torch_build": build}} | others


def found_in(folder: Path, *saved: dict[str, Any]) -> Versions:
    """What runs that are saved in this order have of each version of torch."""
    return from_runs([read_run(save(folder, number, run)) for number, run in enumerate(saved, 1)], "torch")


def cells(row: VersionRow) -> list[float | str | None]:
    """What a row shows: throughputs, or how the step ended."""
    return [None if cell is None else round(cell.samples_per_second or 0, 6) or cell.outcome for cell in row.cells]


def test_versions_are_columns_in_their_own_order(tmp_path: Path) -> None:
    """2.9 comes before 2.10, whatever was run first; the ratio is the last one's over the first one's."""
    found = found_in(
        tmp_path,
        saved_run([benchmark("baseline", medians_s=(0.1, 0.1, 0.1))], fingerprint=with_torch("2.10.0")),
        saved_run([benchmark("baseline", medians_s=(0.2, 0.2, 0.2))], fingerprint=with_torch("2.9.0")),
    )

    assert ("2.9.0", "2.10.0") == found.versions
    [row] = found.rows
    assert [40.0, 80.0] == cells(row)
    assert row.unpaired is not None
    assert pytest.approx(2.0) == row.unpaired.ratio


def test_what_fails_in_the_newest_version_has_no_ratio_to_the_oldest(tmp_path: Path) -> None:
    """That of the two versions before would stand below `last over first`."""
    measured = (saved_run([benchmark("compile")], fingerprint=with_torch(version)) for version in ("2.9.0", "2.10.0"))
    failed = saved_run([], outcomes=[outcome("compile", "failed", "cannot export")], fingerprint=with_torch("2.13.0"))

    [row] = found_in(tmp_path, *measured, failed).rows
    assert ([80.0, 80.0, "failed"], None) == (cells(row), row.unpaired)


def test_newest_run_of_a_version_counts_step_by_step(tmp_path: Path) -> None:
    """A second run of some steps replaces those, and leaves the others."""
    found = found_in(
        tmp_path,
        saved_run([benchmark("baseline"), benchmark("compile")], fingerprint=with_torch("2.13.0")),
        saved_run([benchmark("compile", medians_s=(0.05, 0.05, 0.05))], fingerprint=with_torch("2.13.0")),
    )

    assert {"baseline": [80.0], "compile": [160.0]} == {row.step: cells(row) for row in found.rows}


def test_a_disturbed_run_of_a_version_takes_no_figures_place(tmp_path: Path) -> None:
    """The step works in that release, and how fast an earlier run tells, or nobody."""
    disturbed = [benchmark(step, medians_s=(0.4, 0.4, 0.4), disturbed=True) for step in ("baseline", "compile")]
    found = found_in(
        tmp_path,
        saved_run([benchmark("baseline")], fingerprint=with_torch("2.13.0")),
        saved_run(disturbed, fingerprint=with_torch("2.13.0")),
    )

    assert {"baseline": [80.0], "compile": ["measured"]} == {row.step: cells(row) for row in found.rows}


def test_step_that_fails_in_one_release_is_told_with_its_first_line(tmp_path: Path) -> None:
    """The rest of a traceback is in the run itself."""
    reason = "step 'pt2e_int8' on resnet50: no int8 kernel ran\nTraceback"
    found = found_in(
        tmp_path,
        saved_run([benchmark("pt2e_int8")], fingerprint=with_torch("2.10.0")),
        saved_run([], outcomes=[outcome("pt2e_int8", "failed", reason)], fingerprint=with_torch("2.13.0")),
    )

    [broken] = found.broken
    assert ("pt2e_int8", "2.10.0", "2.13.0", "failed") == (broken.step, broken.works_in, broken.fails_in, broken.how)
    assert "step 'pt2e_int8' on resnet50: no int8 kernel ran" == broken.reason


def test_step_of_one_release_only_is_counted_and_not_shown(tmp_path: Path) -> None:
    """A whole ladder in one release and a part of it in the other compare by the part."""
    whole = saved_run([benchmark("baseline"), benchmark("compile")], fingerprint=with_torch("2.13.0"))
    part = saved_run([benchmark("baseline")], fingerprint=with_torch("2.10.0"))
    other = saved_run([benchmark("train_baseline")], fingerprint=with_torch("2.9.0"))
    found = comparable(found_in(tmp_path, other, whole, part))

    assert ["baseline"] == [row.step for row in found.rows]
    assert ("2.10.0", "2.13.0") == found.versions
    assert found.rows[0].unpaired is not None
    assert "2 steps were run in one release only, and are left out" in found.notes


def test_step_that_works_nowhere_is_not_broken_by_a_release(tmp_path: Path) -> None:
    """A step that the machine cannot run is skipped in every release alike."""
    skipped = [outcome("fast_math", "skipped", "no AMX")]
    found = found_in(tmp_path, *(saved_run([], outcomes=skipped, fingerprint=with_torch(v)) for v in ("2.10.0", "2.13.0")))

    assert () == found.broken
    assert ["skipped", "skipped"] == cells(found.rows[0])


@pytest.mark.parametrize("shape", [[8, 3, 64, 64], [8, 3, 320, 224], [8, 1, 224, 224]])
def test_other_machines_and_images_are_left_out(tmp_path: Path, shape: list[int]) -> None:
    """They would look like the release's doing."""
    found = found_in(
        tmp_path,
        saved_run([benchmark("baseline")], fingerprint=with_torch("2.9.0", cpu_model="another")),
        saved_run([benchmark("baseline", input_shape=shape, medians_s=(0.01,))], fingerprint=with_torch("2.10.0")),
        saved_run([benchmark("baseline")], fingerprint=with_torch("2.13.0")),
    )

    assert ("2.10.0", "2.13.0") == found.versions
    assert [[None, 80.0]] == [cells(row) for row in found.rows]
    assert "1 runs of other machines, or without a version of torch, were left out" in found.notes


def test_what_else_differs_is_named(tmp_path: Path) -> None:
    """A release of torch comes with its own torchao."""
    older, newer = with_torch("2.10.0"), with_torch("2.13.0")
    older["versions"] = older["versions"] | {"torchao": "0.16.0"}
    newer["versions"] = newer["versions"] | {"torchao": "0.18.0"}
    found = found_in(tmp_path, *(saved_run([benchmark()], fingerprint=each) for each in (older, newer)))

    assert ("torchao differs too: 0.16.0, 0.18.0",) == found.notes


def test_cuda_build_is_a_column_of_its_own(tmp_path: Path) -> None:
    """The same release from another index is another library."""
    builds = (with_torch("2.11.0"), with_torch("2.11.0", "CUDA 12.8"))
    found = found_in(tmp_path, *(saved_run([benchmark()], fingerprint=each) for each in builds))

    assert ("2.11.0", "2.11.0 (CUDA 12.8)") == found.versions


def gate(*rows: Row) -> Result:
    """A gate's result between torch 2.10.0 and 2.13.0."""
    base, head = (side(versions={"torch": version, "torch_build": "CPU"}) for version in ("2.10.0", "2.13.0"))
    return result(*rows, base=base, head=head, software=(Difference("versions.torch", "2.10.0", "2.13.0"),))


def row(step: str, base_s: Sequence[float] = (), head_s: Sequence[float] = (), failed_on: Literal["base", "head"] | None = None) -> Row:
    pairs = [
        pair(benchmark=Benchmark("resnet50", step), base_rounds_s=(a,), head_rounds_s=(b,), base_samples=8, head_samples=8)
        for a, b in zip(base_s, head_s, strict=True)
    ]
    judged = Judged(verdict=Verdict.ERROR if failed_on else Verdict.PASS, why=f"{failed_on}: cannot export\nat line 3")
    return Row(model="resnet50", step=step, judged=judged, pairs=tuple(pairs), failed_on=failed_on)


def test_pairs_give_a_gain_between_two_releases() -> None:
    """Head's throughput over base's, pair by pair: a common drift of the machine does not count."""
    found = with_pairs(EMPTY, gate(row("compile", base_s=(0.2, 0.4, 0.8), head_s=(0.1, 0.2, 0.4))))

    assert ("2.10.0", "2.13.0") == found.compared == found.versions
    [shown] = found.rows
    assert shown.paired is not None
    assert pytest.approx(2.0) == shown.paired.ratio
    assert "faster" == shown.paired.verdict
    assert [20.0, 40.0] == cells(shown)


def test_pairs_join_what_was_saved(tmp_path: Path) -> None:
    """Saved throughput stays, the gain comes beside it, and a release that only has pairs gets a column."""
    saved = found_in(tmp_path, saved_run([benchmark("compile"), benchmark("baseline")], fingerprint=with_torch("2.13.0")))
    found = with_pairs(saved, gate(row("compile", base_s=(0.2,), head_s=(0.1,))))

    assert {"compile": [40.0, 80.0], "baseline": [None, 80.0]} == {each.step: cells(each) for each in found.rows}


def test_a_step_that_took_turns_works_whatever_was_saved(tmp_path: Path) -> None:
    """It may have failed in that release before it was mended."""
    failed = saved_run([], outcomes=[outcome("compile", "failed", "cannot export")], fingerprint=with_torch("2.13.0"))
    found = with_pairs(found_in(tmp_path, failed), gate(row("compile", base_s=(0.2,), head_s=(0.1,))))

    assert {"compile": [40.0, 80.0]} == {each.step: cells(each) for each in found.rows}
    assert () == found.broken


@pytest.mark.parametrize("pairs", [0, 1])
@pytest.mark.parametrize(("side", "works", "fails"), [("head", "2.10.0", "2.13.0"), ("base", "2.13.0", "2.10.0")])
def test_side_that_cannot_serve_a_step_is_told(side: Literal["base", "head"], works: str, fails: str, pairs: int) -> None:
    """In either direction, and after a first pair, too: an upgrade may bring a step, and may take one."""
    found = with_pairs(EMPTY, gate(row("aot_inductor", (0.2,) * pairs, (0.1,) * pairs, failed_on=side)))

    [broken] = found.broken
    assert [None] == [each.paired for each in found.rows]
    assert (works, fails, f"{side}: cannot export") == (broken.works_in, broken.fails_in, broken.reason)


def test_step_that_a_side_does_not_offer_is_skipped_not_failed() -> None:
    """A package that one environment does not have is no fault of the release."""
    missing = replace(row("openvino", failed_on="head"), was_tried=False)
    [broken] = with_pairs(EMPTY, gate(missing)).broken

    assert ("2.13.0", "skipped") == (broken.fails_in, broken.how)


def test_markdown_shows_names_as_text() -> None:
    """Reasons come from files and processes."""
    broken = VersionCell(outcome="failed", reason="<script>|")
    table = Versions(package="torch", versions=("1",), rows=(VersionRow(model="m|", step="s", cells=(broken,)),), broken=())
    shown = tables_markdown([versions_table(table)])

    assert "m\\|" in shown
    assert "| model | step | torch 1 |" == shown.splitlines()[0]


def test_command_reads_the_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`reports versions --of` chooses the package."""
    save(tmp_path, 1, saved_run([benchmark()], fingerprint=with_torch("2.13.0")))

    assert 0 == main(["versions", "--storage", str(tmp_path), "--of", "onnxruntime", "--format", "markdown"])
    assert "onnxruntime 1\\.31\\.1" in capsys.readouterr().out


def test_one_interpreter_alone_has_no_partner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["versions", "--storage", str(tmp_path), "--base-python", "python3"])
    assert "name both, --base-python and --head-python" in capsys.readouterr().err


def test_pairs_are_kept_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = held(monkeypatch, gate(row("compile", base_s=(0.2,), head_s=(0.1,))))
    both = ["--base-python", sys.executable, "--head-python", sys.executable]
    for out in ([], ["--out", str(tmp_path / "kept")]):
        assert 0 == main(["versions", "--storage", str(tmp_path), *both, *out])

    assert [None, tmp_path / "kept"] == [request.out for request in asked]


def test_nothing_saved_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["versions", "--storage", str(tmp_path)])
    assert "names a version of torch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("architecture", "build", "warned"), [("aarch64", "CUDA 12.8", True), ("aarch64", "CPU", False), ("x86_64", "CUDA 12.8", False)]
)
def test_cuda_build_on_arm_is_warned_of(architecture: str, build: str, warned: bool) -> None:
    """PyPI gives it to whoever does not name PyTorch's CPU index."""
    warning = cuda_on_arm({"torch": "2.13.0", "torch_build": build}, architecture)

    assert warned == (warning is not None)
    assert warning is None or "--index-url https://download.pytorch.org/whl/cpu" in warning


@pytest.mark.nightly
def test_two_environments_take_turns(tmp_path: Path, artifact_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Real processes of both, from the command line; what one environment cannot import shows as broken there."""
    script = f'#!/bin/sh\nexport PYTHONPATH="{tmp_path / "broken"}"\nexec "{sys.executable}" "$@"\n'
    program(tmp_path / "env" / "bin" / "python", script)
    broken = tmp_path / "broken" / "openvino"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text('raise ImportError("libopenvino.so: cannot open shared object file")\n')
    small = ["--model", "torchvision:resnet18", "--image-size", "32", "-k", "resnet18-baseline or openvino_fp32", "--pairs", "2"]
    places = ["--storage", str(tmp_path), "--artifact-cache", str(artifact_folder)]

    assert 0 == main(["versions", "--base-python", sys.executable, "--head-python", str(tmp_path / "env"), *small, *places])
    shown = capsys.readouterr().out
    assert "paired" in shown
    assert "torchvision.resnet18 openvino_fp32: works in" in shown
    assert "libopenvino.so: cannot open shared object file" in shown
