"""What the soak writes of its sessions; that it runs is seen by `tox -e soak`."""

import pytest

from tests.soak import MARKS, PAGE, Course, table, with_table


def course(*kinds: str, ended_by: str = "", ended_s: float | None = None, wrong: tuple[str, ...] = ()) -> Course:
    return Course(
        number=0,
        commit="c0ffee",
        gates=False,
        emptied=False,
        moments=[{"kind": kind, "before": ""} for kind in kinds],
        ended_by=ended_by,
        ended_s=ended_s,
        status=0,
        finished=1,
        said="",
        wrong=[*wrong],
    )


def test_moments_are_counted_by_kind_and_broken_promises_are_told() -> None:
    kill, last = "SIGKILL of a worker or builder", "Ctrl-C"
    written = table(
        [course(kill, kill, last, ended_by=last, ended_s=1.0), course(kill, last, ended_by=last, ended_s=4.0, wrong=("an orphan",))], 7
    )

    assert f"| {kill} | 3 | - |" in written
    assert f"| {last} | 2 | 2.5 s (4.0) |" in written
    assert "5 moments in 2 sessions" in written
    assert "Promises broken: 1." in written
    assert f"- **{kill} then {last}** (c0ffee): an orphan" in written


def test_only_what_stands_between_the_marks_is_written() -> None:
    page = with_table(PAGE.read_text(), "new\n")

    assert f"{MARKS[0]}new\n{MARKS[1]}" in page
    assert page == with_table(page, "new\n")
    with pytest.raises(ValueError, match="not found"):
        with_table("a page of another kind", "new\n")
