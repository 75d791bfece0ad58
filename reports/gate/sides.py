"""A side seen from the gate: its process (fixtures/side.py) in its own checkout, asked for offers, pairs and turns."""

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from fixtures.bench.answers import Answers, asked
from fixtures.bench.launch import Launcher, Program, UnsupportedError, WorkerError
from fixtures.protocol import Message
from fixtures.protocol import side_protocol as messages
from reports.gate.benchmarks import GateError
from reports.gate.checkouts import Checkout
from reports.gate.failures import SideError, both_failed
from reports.gate.origins import own_model, own_weights, untracked_text
from reports.text.image_shape import ImageShape

SIDE = Program(
    module="fixtures.side",
    version=messages.SIDE_PROTOCOL_VERSION,
    answers=messages.FromSide,
    speaks="fixtures/protocol/side_protocol.py",
    keeps_workers=True,
)
WARMUP_LIMIT_S = 1.5
MOST_ANSWERS_OF_WORKERS = 4  # a side may wait for its workers this often before it answers
# The folder in the artifact cache of each build of the same code.
BUILDS = ("", *(f"{number}-builds" for number in ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")))
SHUT_S = 30.0  # ending workers takes a few seconds, also of those that must be killed

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What both sides measure with."""

    models: tuple[str, ...]
    image: ImageShape
    sequence_length: int
    batch_size: int
    threads: int
    weights: str | None
    artifact_cache: Path
    worker_timeout_s: float
    memory_limit_bytes: int
    accuracy: Path | None = None
    accuracy_pictures: int = 0
    text: Path | None = None
    evaluate: str | None = None

    @property
    def answers(self) -> Answers:
        """What is asked of both sides' answers. Raises LabelsError, EvaluateError."""
        return asked(self.models, accuracy=self.text or self.accuracy, most=self.accuracy_pictures, evaluate=self.evaluate)


class Side:
    """One side's running process, until it is closed."""

    def __init__(self, checkout: Checkout, settings: Settings) -> None:
        """Start the process. Raises GateError where it does not start or speaks another protocol."""
        self.checkout = checkout
        self._settings = settings
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        # The revision's own modules come before those that are installed, of its own worktree only.
        environment["PYTHONPATH"] = checkout.module_path(environment.get("PYTHONPATH"))
        launcher = Launcher(
            environment=environment,
            python=checkout.python,
            root=checkout.code_root,
            timeout_s=MOST_ANSWERS_OF_WORKERS * settings.worker_timeout_s,
            waits_for_answers=MOST_ANSWERS_OF_WORKERS,
        )
        try:
            self._process = launcher.launch(checkout.side, program=SIDE)
        except WorkerError as error:
            raise GateError(f"the side {error}") from error

    def begin_survey(self) -> None:
        """Ask what the side can measure, without waiting."""
        settings = self._settings
        survey = messages.Survey(
            models=[own_model(name, self.checkout, Path.cwd()) for name in settings.models],
            image_size=settings.image.brief,
            batch_size=settings.batch_size,
            threads=settings.threads,
            weights=own_weights(settings.weights, self.checkout) if settings.weights else None,
            artifact_cache=str(_cache_of(self.checkout.python, settings.artifact_cache)),
            worker_root=str(self.checkout.worker_root) if self.checkout.worker_root else None,
            worker_timeout_s=settings.worker_timeout_s,
            memory_limit_bytes=settings.memory_limit_bytes,
            warmup_limit_s=WARMUP_LIMIT_S,
            sequence_length=settings.sequence_length,
            folder=str(self.checkout.folder),
            accuracy=str(settings.accuracy) if settings.accuracy else None,
            accuracy_pictures=settings.accuracy_pictures,
            text=str(settings.text) if settings.text else None,
            evaluate=settings.evaluate,
        )
        self.tell(survey)

    def end_survey(self) -> messages.SideSurveyed:
        """Return what the side says of itself. Raises GateError where it is not the code that was asked for."""
        try:
            seen = self.hear(messages.SideSurveyed, "looking at what it can measure")
        except SideError as error:
            raise GateError(str(error)) from error
        expected = self.checkout.worker_root or self.checkout.code_root
        if not Path(seen.root).samefile(expected):
            raise GateError(f"{self.checkout.side} runs the code in {seen.root}, expected {expected}: is PYTHONPATH set?")
        return seen

    def again(self, number: int) -> "Side":
        """Return another process of this side, whose artifacts are builds of that number, 1 for the second. Raises GateError."""
        return Side(self.checkout, replace(self._settings, artifact_cache=self._settings.artifact_cache / BUILDS[number]))

    def turn(self, iterations: int, untimed: int) -> messages.Taken:
        """Take one turn. Raises SideError."""
        self.tell(messages.TakeTurn(iterations=iterations, untimed=untimed))
        return self.hear(messages.Taken, "taking a turn")

    def stands_still(self) -> bool:
        """Wait until no thread of the side and of its workers runs; return whether it came to that in time.

        A side of another checkout may answer sooner, by a rule of its own, while its threads still spin beside the other side's turn.
        """
        before = self._process.never_still
        self._process.wait_until_still()
        return self._process.never_still == before

    def shut(self) -> None:
        """End the workers. What failed before has been told, so only a side that does not end them is a GateError."""
        self.tell(messages.Shut())
        with suppress(SideError):
            self.hear(messages.Closed, "ending its workers", SHUT_S)

    def close(self) -> None:
        """End the process, and its workers with it."""
        self._process.close()

    def tell(self, message: Message) -> None:
        """Ask for something, without waiting. Raises GateError for a name that no message can have."""
        try:
            self._process.tell([message])
        except WorkerError as error:
            raise GateError(f"the side {error}") from error

    def hear(self, answer: type[Answer], doing: str, timeout_s: float | None = None) -> Answer:
        """Wait for the answer. Raises SideError, and GateError where the side itself fails."""
        try:
            [heard] = self._process.hear(answer, doing, timeout_s)
        except WorkerError as error:
            if error.kind is None:  # the side itself, not what it measures
                raise GateError(str(error)) from error
            is_unsupported = isinstance(error, UnsupportedError)
            reason = (error.reason or str(error)) + untracked_text(self.checkout, str(error))
            raise SideError(self.checkout.side, error.kind, reason, is_unsupported=is_unsupported) from error
        return heard


def ask_both(sides: Sequence[Side], message: Message, answer: type[Answer], doing: str, *, one_by_one: bool = False) -> list[Answer]:
    """Let both sides begin, then wait for both; `one_by_one` each begins once the one before has ended.

    Raises SideError once both have answered, with no worker left.
    """
    results: list[Answer] = []
    errors: list[SideError] = []
    if not one_by_one:
        for side in sides:
            side.tell(message)
    for side in sides:
        if one_by_one:
            side.tell(message)
        try:
            results.append(side.hear(answer, doing))
        except SideError as error:
            errors.append(error)
    if not errors:
        return results
    shut_all(sides)
    raise errors[0] if len(errors) == 1 else both_failed(*sorted(errors, key=lambda error: error.side))


def shut_all(sides: Sequence[Side]) -> None:
    """End the workers of all sides. Raises GateError for a side that does not."""
    for side in sides:
        side.shut()


def _cache_of(python: str, cache: Path) -> Path:
    """Return an interpreter's part of the artifact cache: equal versions in another environment may be another build."""
    return cache if python == sys.executable else cache / f"python-{hashlib.sha256(os.fsencode(python)).hexdigest()[:12]}"
