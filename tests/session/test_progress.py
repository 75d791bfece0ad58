"""What the progress line says of the time that is left, and the end of a session of what it did not record."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import plugin
from fixtures.session.progress import SessionProgress
from reports.saved.record import Outcome


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def line(ahead: int, clock: Clock) -> tuple[SessionProgress, io.StringIO]:
    stream = io.StringIO()
    progress = SessionProgress(stream, is_terminal=False, width=80, clock=clock)
    progress.plan(12, ahead=ahead)
    return progress, stream


def told(progress: SessionProgress, stream: io.StringIO, stage: str) -> str:
    progress.stage(stage)
    return stream.getvalue().splitlines()[-1]


def test_steps_that_end_at_once_take_no_time() -> None:
    """Six of twelve steps are skipped here: after the first of 30 s there are five more."""
    clock = Clock()
    progress, stream = line(6, clock)
    progress.begin("resnet50-baseline")
    clock.now_s += 30.0
    progress.end("5.6 samples per second", counts=True)
    progress.begin("resnet50-bf16_autocast")
    progress.end("skipped", counts=False)
    progress.begin("resnet50-compile")

    assert "[3/12] resnet50-compile: proving compile, about 2 min left" == told(progress, stream, "proving compile")


def test_what_is_prepared_once_tells_nothing_of_the_steps() -> None:
    """Ten minutes of building and two steps of 30 s leave half a minute."""
    clock = Clock()
    progress, stream = line(3, clock)
    progress.begin("resnet50-baseline")
    clock.now_s += 600.0
    progress.prepared()
    clock.now_s += 30.0
    progress.end("5.6 samples per second", counts=True)
    progress.begin("resnet50-compile")
    clock.now_s += 10.0

    assert told(progress, stream, "proving compile").endswith(", about 50 s left")


def test_nothing_is_promised_before_a_step_has_ended() -> None:
    progress, stream = line(3, Clock())
    progress.begin("resnet50-baseline")

    assert "[1/12] resnet50-baseline: pair 1 of 1, starting" == told(progress, stream, "pair 1 of 1")


def test_further_pairs_have_the_time_that_was_given() -> None:
    progress, stream = line(1, Clock())
    progress.begin("resnet50-compile")
    progress.end("9.0 samples per second", counts=True)
    progress.go_on(lambda: 42.0)
    progress.begin("resnet50-compile")

    assert "[further] resnet50-compile: pair 2 of 2, starting, about 42 s left" == told(progress, stream, "pair 2 of 2")


@pytest.mark.parametrize(
    ("ran", "told"),
    [(("baseline",), "1 step was proved and ran once:"), (("baseline", "batch_2"), "2 steps were proved and ran once each:")],
)
def test_steps_that_ran_where_nothing_is_recorded_did_not_fail(monkeypatch: pytest.MonkeyPatch, ran: tuple[str, ...], told: str) -> None:
    """With --benchmark-disable there is no ladder, and no record is missing."""
    outcomes = {("vit", step): Outcome(model="vit", step=step, outcome="measured") for step in ran}
    session = SimpleNamespace(outcomes=outcomes, records_with="", records=lambda: [])
    config: Any = SimpleNamespace(_benchmarksession=SimpleNamespace(benchmarks=[], disabled=True))
    lines: list[str] = []
    with monkeypatch.context() as patched:  # the plugin serves this test, too
        patched.setattr(plugin, "session_of", lambda _config: session)
        patched.setattr(plugin, "read_options", lambda _config: SimpleNamespace(proofs=None))
        plugin._print_summary(SimpleNamespace(write_line=lines.append), config)

    assert [f"{told} pytest-benchmark is disabled, so nothing is recorded"] == lines
