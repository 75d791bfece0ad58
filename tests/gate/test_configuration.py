"""`[tool.inference-ladder.gate]`: what it may say, what is refused, and that head cannot weaken its own gate."""

from datetime import date
from pathlib import Path

import pytest

from fixtures.protocol.side_protocol import Offer
from reports.__main__ import main
from reports.gate import run
from reports.gate.benchmarks import Benchmark, GateError, select
from reports.gate.command import FILES
from reports.gate.configuration import (
    NO_CONFIGURATION,
    OPTIONS,
    Acknowledged,
    Configuration,
    changes_by_head,
    check_families,
    configuration_of,
)
from reports.gate.decision import Judged, Verdict, overall
from reports.gate.known import Known
from reports.gate.limits import Limits, Thresholds
from reports.gate.quantities import Quantity, with_quantities
from reports.text.image_shape import ImageShape, square
from tests.gate.conftest import Repository, committed
from tests.gate.pairs import held, result

HEAD = "[tool.inference-ladder.gate]\n"
WHOLE = """\
[tool.inference-ladder.gate]
models = ["served:create", "resnet50"]
steps = ["baseline", "openvino"]
image-size = 64
threads = 1
budget = "5m"

[tool.inference-ladder.gate.thresholds]
memory-percent = 10
build-time-percent = 50

[tool.inference-ladder.gate.thresholds.families.int8]
sqnr-db = 1

[tool.inference-ladder.gate.thresholds.models.resnet50]
time-percent = 5

[tool.inference-ladder.gate.thresholds.benchmarks.resnet50-openvino]
cold-start-percent = "off"

[[tool.inference-ladder.gate.acknowledged]]
benchmark = "resnet50-openvino"
bound = 8
reason = "a safer preprocessing"
expires = 2027-01-31
"""
KNOWN = Acknowledged(benchmark="resnet50-openvino", measure="time", bound=8.0, reason="a safer preprocessing", expires=date(2027, 1, 31))
OPENVINO = Benchmark("resnet50", "openvino")
BEFORE, AFTER = date(2027, 1, 31), date(2027, 2, 1)


@pytest.fixture
def judged(tmp_path: Path) -> Repository:
    """A repository whose first commit has a whole configuration, and whose second lets more pass."""
    laxer = WHOLE.replace("memory-percent = 10", "memory-percent = 1000").replace("bound = 8", "bound = 80")
    return committed(tmp_path / "judged", {"pyproject.toml": WHOLE}, {"pyproject.toml": laxer})


def test_every_key_is_read(judged: Repository) -> None:
    found = configuration_of("base", "HEAD~1", judged.folder)

    named = {"models": ["served:create", "resnet50"], "steps": ["baseline", "openvino"]}
    assert named | {"image_size": square(64), "threads": 1, "budget": 300.0} == found.options
    assert {"memory_percent": 10.0, "build_time_percent": 50.0} == found.common
    assert {"cold_start_percent": None} == found.others["benchmarks"]["resnet50-openvino"]
    assert (KNOWN,) == found.acknowledged


@pytest.fixture
def asked(judged: Repository, monkeypatch: pytest.MonkeyPatch) -> list[run.Request]:
    """The gates that were asked for in the judged repository, none of which is held."""
    monkeypatch.chdir(judged.folder)
    return held(monkeypatch, result())


def test_base_is_in_force_and_heads_changes_are_named(asked: list[run.Request]) -> None:
    """Head would let a hundred times more memory pass; options of the command line outrank both."""
    assert 0 == main(["gate", "--base", "HEAD~1", "--head", "HEAD", "--model", "vit", "--sqnr-db", "2"])
    [request] = asked
    assert request.thresholds.of(OPENVINO, "int8") == Limits(
        time_percent=5.0, memory_percent=10.0, cold_start_percent=None, build_time_percent=50.0, sqnr_db=2.0
    )
    assert (("vit",), square(64), 1, 300.0) == (request.settings.models, request.settings.image, request.settings.threads, request.budget_s)
    assert ("baseline", "openvino") == request.steps
    assert request.known is not None
    assert (KNOWN,) == request.known.entries
    [note] = request.notes
    assert "thresholds.memory-percent (10 to 1000), acknowledged.1.bound (8 to 80)" in note
    assert "base's is in force until the change is merged" in note


def test_files_of_the_repository_are_what_sides_measure_with(asked: list[run.Request], judged: Repository) -> None:
    """Weights for a single model, and labelled pictures, which bring a limit of their own unless the file names one."""
    pictures = judged.folder / "pictures.csv"
    for name in ("a.png", "b.png", "w.pt"):
        (judged.folder / name).write_bytes(b"0")
    pictures.write_text("a.png,0\nb.png,1\n")
    (judged.folder / "pyproject.toml").write_text(f"{HEAD}models = ['vit']\nweights = 'w.pt'\naccuracy = 'pictures.csv'\n")

    assert 0 == main(["gate", "--head", "HEAD"])
    [request] = asked
    assert (str(judged.folder / "w.pt"), pictures) == (request.settings.weights, request.settings.accuracy)
    assert (256, 1.0) == (request.settings.accuracy_pictures, request.thresholds.common.accuracy_points)


def test_metric_of_the_file_is_bases_and_its_limit_is_in_force(asked: list[run.Request], judged: Repository) -> None:
    """Or the perplexity of a text, which brings no limit on pictures."""
    (judged.folder / "metrics.py").write_text("def f1(outputs, labels):\n    return 1.0\n")
    (judged.folder / "text.txt").write_text("a text")
    both = "metric-limit = ['f1=-0.01', 'perplexity=+1%']\naccuracy = 'text.txt'\nevaluate = 'metrics.py:f1'\n"
    (judged.folder / "pyproject.toml").write_text(f"{HEAD}models = ['served.py:create']\n{both}")

    assert 0 == main(["gate", "--head", "HEAD"])
    assert 0 == main(["gate", "--head", "HEAD", "--metric-limit", "f1=-0.5"])
    one, other = asked
    assert (None, judged.folder / "text.txt") == (one.settings.accuracy, one.settings.text)
    assert f"{judged.folder}/metrics.py:f1" == one.settings.evaluate
    assert ["f1 -0.01", "perplexity +1 %"] == [str(limit) for limit in one.thresholds.common.metrics]
    assert ["f1 -0.5"] == [str(limit) for limit in other.thresholds.common.metrics]
    assert one.thresholds.common.accuracy_points is None


def test_images_are_those_of_the_file_unless_the_command_line_says_others(asked: list[run.Request], judged: Repository) -> None:
    """Sides and channels are two keys, and each is outranked by its own option."""
    (judged.folder / "pyproject.toml").write_text(f"{HEAD}models = ['vit']\nimage-size = '240x320'\nimage-channels = 1\n")

    assert 0 == main(["gate", "--head", "HEAD"])
    assert 0 == main(["gate", "--head", "HEAD", "--image-size", "64x96"])
    assert [ImageShape(240, 320, 1), ImageShape(64, 96, 1)] == [request.settings.image for request in asked]


def test_expression_of_the_command_line_outranks_steps(asked: list[run.Request]) -> None:
    main(["gate", "--base", "HEAD", "--head", "HEAD", "-k", "vit"])

    assert [((), "vit", ())] == [(request.steps, request.expression, request.notes) for request in asked]


def test_repository_without_the_table_changes_nothing(tmp_path: Path, judged: Repository) -> None:
    assert NO_CONFIGURATION == configuration_of("base", None, tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert NO_CONFIGURATION == configuration_of("base", None, tmp_path)
    assert NO_CONFIGURATION == configuration_of("base", "no-such-revision", judged.folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "modles = ['vit']", "modles: no such key; the nearest is models"),
        (HEAD + "head-python = '/bin/sh'", "head-python: no such key"),
        (HEAD + "steps = ['openvino']\nexpression = 'vit'", "steps and expression name the benchmarks both: leave one of them out"),
        (HEAD + "out = '/etc'", "out: no such key"),
        (HEAD + "[tool.inference-ladder.gate.thresholds]\nmemory = 3", "thresholds.memory: no such key; the nearest is memory-percent"),
        (
            HEAD + "[tool.inference-ladder.gate.thresholds.models.vit]\nsqnr = 3",
            "thresholds.models.vit.sqnr: no such key; the nearest is sqnr-db",
        ),
        (HEAD + "[tool.inference-ladder.gate.thresholds]\ntime-percent = 'off'", "expected a number above 0, found 'off'"),
        (HEAD + "thresholds = 3", "thresholds: expected a table"),
        (HEAD + "models = 'vit'", "models: expected a list of 1 to 200 texts, found 'vit'"),
        (HEAD + "models = []", "models: expected a list of 1 to 200 texts"),
        (HEAD + "image-size = 0", "image-size: expected a whole number from 1"),
        (HEAD + "image-size = '320*240'", "image-size: expected 1 to 99999 pixels: 224 for squares, or HEIGHTxWIDTH such as 240x320"),
        (HEAD + "threads = true", "threads: expected a whole number"),
        (HEAD + "threads = 9999999999", "threads: expected a whole number"),
        (HEAD + "weights = '/etc/passwd'", "weights: expected a file of the repository"),
        (HEAD + "weights = '../x'", "weights: expected a file of the repository"),
        (HEAD + "budget = 20", "budget: expected a text"),
        (HEAD + "evaluate = 'metrics.py'", "evaluate: expected FILE.py:FUNCTION, found 'metrics.py'"),
        (HEAD + "evaluate = '../metrics.py:f1'", "evaluate: expected a file of the repository"),
        (HEAD + "metric-limit = ['f1=0.1']", "metric-limit: expected NAME=-CHANGE where less is worse"),
        (HEAD + "acknowledged = [3]", "acknowledged, entry 1: expected a table"),
        (WHOLE.replace("expires = 2027-01-31", ""), "acknowledged, entry 1: expires missing"),
        (WHOLE.replace("2027-01-31", "'never'"), "expires: expected a date without quotes such as 2027-01-31, found 'never'"),
        (WHOLE.replace("bound = 8", "bound = 'off'"), "bound: expected a number, in percent"),
        (WHOLE.replace("bound = 8", "bound = 8\nmeasure = 'speed'"), "measure: expected one of time, memory"),
        (WHOLE.replace("bound = 8", "bound = 8\nmeasure = 3"), "measure: expected one of time, memory"),
        (WHOLE.replace("bound = 8", "bounds = 8"), "acknowledged, entry 1: bounds: no such key; the nearest is bound"),
        ("[tool", "cannot be read"),
        ("tool = 3", "cannot be read"),
        ("x = " + "[" * 5000, "cannot be read"),
        ("#" * 2**21, "has more than 1048576 bytes"),
    ],
)
def test_what_is_no_configuration_is_refused_with_the_remedy(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)

    with pytest.raises(GateError) as told:
        configuration_of("base", None, tmp_path)
    assert expected in str(told.value)
    assert "base's pyproject.toml" in str(told.value)


def test_thresholds_of_a_family_that_no_step_is_of_are_refused() -> None:
    """They would judge nothing."""
    check_families(["int8"], ["openvino", "int8"])

    with pytest.raises(GateError, match=r"base's pyproject\.toml: thresholds\.families\.quantization: no such key; the nearest is int8"):
        check_families(["quantization"], ["int8", "memory"])


def test_limits_and_acknowledgements_that_fit_nothing_are_named() -> None:
    """A name that is misspelt would drop a limit without a word."""
    thresholds = Thresholds(models={"resnet50": {}, "resnet": {}}, benchmarks={"resnet50-openvino": {}, "resnet50-opnvino": {}})
    found = list(run.fitting_nothing(thresholds, Known(entries=(KNOWN,), today=KNOWN.expires), {OPENVINO, Benchmark("vit", "baseline")}))

    assert [
        "thresholds.models: resnet is nothing that was offered here; the nearest is resnet50",
        "thresholds.benchmarks: resnet50-opnvino is nothing that was offered here; the nearest is resnet50-openvino",
    ] == found
    [missing] = run.fitting_nothing(Thresholds(), Known(entries=(KNOWN,), today=KNOWN.expires), {Benchmark("vit", "baseline")})
    assert missing == "acknowledged: resnet50-openvino is nothing that was offered here; the nearest is vit-baseline"


def test_a_model_is_named_in_thresholds_as_elsewhere(asked: list[run.Request], monkeypatch: pytest.MonkeyPatch) -> None:
    told = Configuration(others={"models": {"timm:resnet18": {"time_percent": 4.0}, "vit": {"time_percent": 6.0}}})
    monkeypatch.setattr("reports.gate.command.configuration_of", lambda *_: told)
    main(["gate", "--base", "HEAD~1", "--head", "HEAD"])

    [request] = asked
    assert {"timm.resnet18", "vit"} == {*request.thresholds.models}


def test_head_that_cannot_be_read_is_named_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(HEAD + "modles = ['\x1b[31m']".replace("\x1b", "\\u001b"))
    [note] = changes_by_head(NO_CONFIGURATION, None, tmp_path)

    assert "modles: no such key; the nearest is models; base's is in force" in note


def test_every_option_of_the_gate_has_its_key_but_for_places_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Sides, interpreters, outputs and caches are the judging machine's."""
    with pytest.raises(SystemExit):
        main(["gate", "--help"])
    named = {word.strip("[],:") for word in capsys.readouterr().out.split() if word.startswith(("--", "[--"))}
    options = {name.removeprefix("--") for name in named if name.startswith("--")}
    machines = {"help", "storage", "base", "head", "base-python", "head-python", "out", "artifact-cache", *FILES}

    assert {"models", "steps", "expression"} | (
        options - machines - {"model"} - {name.replace("_", "-") for name in Limits.__slots__}
    ) == set(OPTIONS)


def test_known_regression_does_not_fail_within_its_bound_and_date() -> None:
    slower = Judged(verdict=Verdict.REGRESSION, why="7.5 % slower", median_slowdown=0.075)
    known = Known(entries=(KNOWN,), today=BEFORE)
    found = known.time(OPENVINO, slower)

    assert Verdict.ACKNOWLEDGED is found.verdict
    assert "7.5 % slower, acknowledged up to 8 % until 2027-01-31: a safer preprocessing" == found.why
    assert Verdict.PASS is overall([found.verdict])
    assert Verdict.ACKNOWLEDGED is with_quantities(found, ()).verdict


@pytest.mark.parametrize(
    ("of", "slowdown", "today"),
    [(OPENVINO, 0.081, BEFORE), (OPENVINO, 0.075, AFTER), (Benchmark("vit", "openvino"), 0.075, BEFORE)],
)
def test_regression_beyond_what_is_known_fails(of: Benchmark, slowdown: float, today: date) -> None:
    """Larger than the bound, after its date, or of another benchmark."""
    slower = Judged(verdict=Verdict.REGRESSION, why="slower", median_slowdown=slowdown)
    assert slower == Known(entries=(KNOWN,), today=today).time(of, slower)


def test_known_slowdown_excuses_no_memory() -> None:
    """Each measure is acknowledged by itself."""
    memory = Quantity(name="memory", unit="bytes", base=1e9, head=2e9, change=1.0, limit=5.0, verdict=Verdict.REGRESSION)
    known = Known(entries=(KNOWN,), today=BEFORE)
    slower = known.time(OPENVINO, Judged(verdict=Verdict.REGRESSION, why="7.5 % slower", median_slowdown=0.075))

    assert Verdict.REGRESSION is with_quantities(slower, [known.quantity(OPENVINO, memory)]).verdict
    both = Known(
        entries=(KNOWN, Acknowledged(benchmark=OPENVINO.id, measure="memory", bound=150.0, reason="a table", expires=BEFORE)), today=BEFORE
    )
    found = with_quantities(slower, [both.quantity(OPENVINO, memory)])
    assert Verdict.ACKNOWLEDGED is found.verdict
    assert "a table" in found.why


def test_expired_entries_are_named() -> None:
    assert [] == list(Known(entries=(KNOWN,), today=BEFORE).expired())
    assert ["the acknowledged time of resnet50-openvino expired on 2027-01-31 (a safer preprocessing)"] == list(
        Known(entries=(KNOWN,), today=AFTER).expired()
    )


def test_steps_are_names_and_only_they_are_compared() -> None:
    """`-k openvino` takes `openvino_int8` too."""
    offers = {Benchmark("vit", step): Offer(model="vit", step=step, recipe=[step]) for step in ("baseline", "openvino", "openvino_int8")}

    assert (Benchmark("vit", "openvino"),) == select(offers, offers, None, ["openvino"]).compared
    assert 2 == len(select(offers, offers, "openvino").compared)
    assert (Benchmark("vit", "baseline"),) == select(offers, offers, "vit", only=frozenset({Benchmark("vit", "baseline")})).compared
    with pytest.raises(GateError, match="neither side has a step 'openvin'"):
        select(offers, offers, None, ["openvin"])
