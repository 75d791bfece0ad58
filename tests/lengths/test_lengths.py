"""Texts whose lengths vary: what holds of a small model, and strategies that are broken on purpose, each refused."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from fixtures import models
from fixtures.bench.record import _lengths, record_of
from fixtures.bench.rig import Reference
from fixtures.bench.turns import PairedMeasurement, Plan
from fixtures.inputs import samples
from fixtures.inputs.lengths import BUCKETS, OWN_LONGEST, SORTED, drawn, named
from fixtures.lengths import lengths_claims as claims
from fixtures.lengths import lengths_reference
from fixtures.lengths.lengths_session import LengthsSession
from fixtures.machine.host import HostSample
from fixtures.models import ModelError
from fixtures.protocol import Counted, ModelSpec, Observations, TextsSeen, Turn
from fixtures.runtimes.inductor import CompileRecord, InductorSession
from fixtures.runtimes.torch_session import TorchSession
from fixtures.steps.accuracy import Agreement, DriftError
from fixtures.steps.evidence import Claim, NothingChanged, NothingChangedError, Proof
from fixtures.steps.optimizations import FP32_DB, catalogue
from fixtures.steps.recipe import resolve
from fixtures.tasks import kept, reference
from fixtures.tasks.trials import TrialError
from fixtures.worker import WorkerService
from reports.saved.load import as_saved, measurements_from_records
from reports.views.ladder import ladders
from reports.views.tables.ladder import ladder_tables
from tests import benches
from tests.conftest import MakeRig
from tests.machines import X86
from tests.steps.test_broken_steps import changed, refused, refused_as

STRATEGIES = [(), (OWN_LONGEST,), (SORTED, OWN_LONGEST), (SORTED, BUCKETS)]
STEPS = catalogue(4)
NAMES = [name for name, step in STEPS.items() if step.family == "variable_lengths"]
AGREES = Agreement(sqnr_db=200.0, centred_cosine=1.0, cosine=1.0, max_abs_error=0.0, relative_error=0.0, samples=2)


job_of = partial(benches.job_of, runtime="eager")


@pytest.fixture(scope="module")
def answered(texts: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the texts, and of fp32 eager's answers to each alone."""
    folder = tmp_path_factory.mktemp("answered")
    lengths_reference.write(job_of(texts), folder)
    return folder


Serve = Callable[..., LengthsSession]


@pytest.fixture
def serve(texts: ModelSpec, answered: Path) -> Serve:
    """A function that returns a session of the small model by some strategy; `function` is called in place of the model."""

    def session(*words: str, function: Callable[[Any], Any] | None = None) -> LengthsSession:
        job = job_of(texts, *words, inputs=answered)
        model = models.create(texts)
        return LengthsSession(job, TorchSession(job, function(model) if function else model, model))

    return session


def placed_by(session: LengthsSession, texts: ModelSpec, answered: Path) -> list[Any]:
    return session.place(samples.iteration(job_of(texts, inputs=answered)))


def agreement_of(session: LengthsSession, texts: ModelSpec, answered: Path) -> Agreement:
    outputs = session.to_numpy(session.scores(placed_by(session, texts, answered)))
    return Reference(outputs=reference.read(answered), inputs=answered).compare(outputs)


def judged(claim: Claim, model: ModelSpec, seen: Observations, *words: str) -> tuple[Any, str]:
    """Whether the claim holds for what was seen of one worker that was to serve by the strategy `words`, and what was observed."""
    return claim.check(Proof(job=job_of(model, *words), ranks=[seen], agreement=AGREES))


def test_the_reference_answers_each_text_alone(texts: ModelSpec, answered: Path) -> None:
    """Real tokens one text after the other, and one row a text of what has no tokens."""
    found = reference.read(answered)

    assert {"last_hidden_state": (sum(drawn(texts.lengths, 16)), 64), "pooler_output": (16, 64)} == {
        name: array.shape for name, array in found.items()
    }
    rows = samples.load_named(answered / samples.SAMPLES)
    assert drawn(texts.lengths, 16) == rows["attention_mask"].sum(axis=1).tolist()


def test_a_mask_that_is_not_heeded_is_seen_in_the_answers(texts: ModelSpec, answered: Path, serve: Serve) -> None:
    """Texts then attend to padding."""

    def unmasked(model: Any) -> Any:
        return lambda ids, mask: model(ids, torch.ones_like(mask))

    assert not agreement_of(serve(function=unmasked), texts, answered).keeps(FP32_DB)


@pytest.mark.parametrize("words", STRATEGIES, ids=" ".join)
def test_as_many_tokens_are_computed_as_a_strategy_says(texts: ModelSpec, answered: Path, serve: Serve, words: tuple[str, ...]) -> None:
    """And padding changes no answer."""
    session = serve(*words)
    seen = session.observe(placed_by(session, texts, answered))
    holds, observed = judged(claims.tokens_computed(), texts, seen, *words)

    assert agreement_of(session, texts, answered).keeps(FP32_DB)
    assert holds is True, observed
    assert "layers multiply" in observed
    assert f"for {sum(drawn(texts.lengths, 16))} real ones" in observed


@pytest.mark.parametrize("words", STRATEGIES[2:], ids=" ".join)
def test_a_strategy_that_pads_to_the_longest_all_the_same_is_refused(
    texts: ModelSpec, answered: Path, serve: Serve, words: tuple[str, ...]
) -> None:
    """Its answers are right, and it saves nothing."""
    session = serve()
    seen = session.observe(placed_by(session, texts, answered))
    holds, observed = judged(claims.tokens_computed(over=()), texts, seen, *words)

    assert holds is False
    assert "the outputs have 640 tokens, where the strategy has" in observed


def test_layers_that_multiply_padding_that_no_output_shows_are_refused(texts: ModelSpec) -> None:
    """A runtime may pad inside, and cut its outputs."""
    plan = [(4, 16), (4, 16), (4, 32), (4, 40)]
    right, padded = ([(16, 64), (40, 160)], [(16, 160), (40, 160)])

    assert [True, False] == [
        judged(claims.tokens_computed(), texts, Observations(texts=TextsSeen(returned=plan, multiplied=rows)), SORTED, BUCKETS)[0]
        for rows in (right, padded)
    ]
    assert (False, "the batches were not seen") == judged(claims.tokens_computed(), texts, Observations())
    told = judged(claims.tokens_computed(), texts, Observations(texts=TextsSeen(returned=[], multiplied=[(16, 0)])), SORTED, BUCKETS)
    assert (False, True) == (told[0], "neither outputs nor kernels tell how many tokens were computed" in told[1])


def test_lengths_that_are_all_alike_leave_nothing_to_win(texts: ModelSpec) -> None:
    alike = msgspec.structs.replace(texts, lengths=((40, 1.0),))
    seen = Observations(texts=TextsSeen(returned=[(4, 40)] * 4, multiplied=[(40, 160)]))
    holds, observed = judged(claims.tokens_computed(over=()), alike, seen, SORTED, BUCKETS)

    assert isinstance(holds, NothingChanged)
    assert "0% padding" in observed


@pytest.mark.parametrize(
    ("claim", "graphs", "holds"),
    [
        (claims.graph_for_each_length(), 3, True),
        (claims.graph_for_each_length(), 1, False),
        (claims.graph_for_all_lengths(), 1, True),
        (claims.graph_for_all_lengths(), 3, False),
        (claims.graph_for_all_lengths(), None, False),
    ],
)
def test_graphs_are_as_many_as_claimed(texts: ModelSpec, claim: Claim, graphs: int | None, holds: bool) -> None:
    assert holds is judged(claim, texts, Observations(graphs=graphs, graph_breaks=0), SORTED, BUCKETS)[0]
    assert judged(claim, texts, Observations(graphs=graphs, graph_breaks=1), SORTED, BUCKETS)[0] is False


def test_an_output_that_grows_elsewhere_is_refused() -> None:
    """Attention's maps have tokens along two dimensions."""
    answers = [(np.zeros((1, tokens, 8)), np.zeros((1, 2, tokens, tokens))) for tokens in (5, 9)]

    assert [True] == lengths_reference.which_by_token("m", ["states"], [arrays[:1] for arrays in answers], [5, 9])
    with pytest.raises(TrialError, match="output 'maps' grows with the text, from shape"):
        lengths_reference.which_by_token("m", ["states", "maps"], answers, [5, 9])


def test_lengths_beyond_the_positions_of_the_model_are_refused(texts: ModelSpec) -> None:
    longer = msgspec.structs.replace(texts, lengths=named("16:0.5,100:0.5"), sequence_length=100)

    message = "takes texts of at most 64 tokens, and the longest of --lengths have 100: leave out lengths above 64"
    with pytest.raises(ModelError, match=message):
        models.create(longer)


def test_a_model_of_two_texts_is_refused(texts: ModelSpec) -> None:
    with pytest.raises(ModelError, match="has an encoder and a decoder: --lengths is for models that take one text"):
        models.create(msgspec.structs.replace(texts, name="transformers:t5-small"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_a_turn_in_which_a_length_is_compiled_is_refused(texts: ModelSpec, answered: Path, tmp_path: Path) -> None:
    """As the worker refuses it of every step: the first turn meets three lengths, the second none that is new."""
    job, model = job_of(texts, SORTED, BUCKETS, inputs=answered), models.create(texts)
    inner = InductorSession(job, model, tmp_path, lambda: CompileRecord(counters={}, templates=[]), None)
    inner._function = torch.compile(model, dynamic=False, backend="eager")  # Dynamo counts, and Inductor would take half a minute
    server = WorkerService(0)
    session = server._session = LengthsSession(job, inner)
    server._placed = placed_by(session, texts, answered)
    server._checksum = kept.checksum(server._placed)

    with pytest.raises(RuntimeError, match="3 graphs were compiled while being timed"):
        server.answer(Turn(iterations=1, untimed=0))
    server.answer(Turn(iterations=1, untimed=0))


def test_a_record_counts_the_tokens_that_are_no_padding(texts: ModelSpec) -> None:
    found = _lengths(job_of(texts, SORTED, BUCKETS), texts_per_second=32.0)

    assert found is not None
    assert (16, 288, 416, 2 * 288.0) == (found.texts, found.real_tokens, found.computed_tokens, found.tokens_per_second)
    assert ((4, 16), (4, 16), (4, 32), (4, 40)) == found.batches
    assert pytest.approx(1 - 288 / 416) == found.padding_share
    assert _lengths(job_of(msgspec.structs.replace(texts, lengths=(), texts=0)), texts_per_second=32.0) is None


def test_steps_take_turns_with_their_padded_form() -> None:
    assert {
        "lengths_padded": None,
        "lengths_dynamic": "lengths_padded",
        "lengths_sorted": "lengths_dynamic",
        "lengths_buckets": "lengths_padded",
        "lengths_compile_padded": "lengths_padded",
        "lengths_compile_buckets": "lengths_compile_padded",
        "lengths_compile_dynamic": "lengths_compile_padded",
        "lengths_onnxruntime_padded": "lengths_padded",
        "lengths_onnxruntime": "lengths_onnxruntime_padded",
        "lengths_openvino_padded": "lengths_padded",
        "lengths_openvino": "lengths_openvino_padded",
    } == {name: STEPS[name].builds_on for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_whole_without_those_below(name: str, texts: ModelSpec) -> None:
    """A step that changes nothing here is skipped, and those above it keep their own way of padding."""
    whole = resolve(name, STEPS, X86)
    alone = resolve(name, STEPS, X86, failed=frozenset(NAMES) - {name})
    jobs = [each.job(texts, threads=1) for each in (whole, alone)]

    assert {frozenset(jobs[0].transforms)} == {frozenset(each.transforms) for each in jobs}
    assert jobs[0].runtime == jobs[1].runtime


def test_eager_strategies_are_proved(make_rig: MakeRig, texts: ModelSpec) -> None:
    """All of it: processes, claims, and answers held against each text alone."""
    rig = make_rig()
    for serving in rig.serve(*(resolve(name, STEPS, rig.machine) for name in ("lengths_padded", "lengths_buckets")), model=texts):
        serving.workers.close()

        assert 16 == serving.samples_per_iteration
        assert serving.agreement.keeps(FP32_DB)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if STEPS[name].runtime not in {None, "eager"}])
def test_every_runtime_is_proved_on_a_small_model(make_rig: MakeRig, texts: ModelSpec, name: str) -> None:
    rig = make_rig()
    if rig.unmet(name, texts) is None:
        [serving] = rig.serve(resolve(name, STEPS, rig.machine), model=texts)
        serving.workers.close()


@pytest.mark.slow
def test_a_measured_step_says_real_tokens_a_second(make_rig: MakeRig, texts: ModelSpec) -> None:
    rig = make_rig()
    own, over = (resolve(name, STEPS, rig.machine) for name in ("lengths_buckets", "lengths_padded"))
    measurement = PairedMeasurement(rig, own, over, texts, Plan(pairs=1, budget_s=0.1, warmup_limit_s=0.1))
    host = HostSample.now()
    measurement.measure()
    record = record_of("bert", measurement, host, Counted())
    [read] = measurements_from_records([as_saved(record) | {"complete": True}])

    assert read.lengths is not None
    assert 16 == read.samples_per_round == read.over_samples_per_round
    assert pytest.approx(read.samples_per_second * 288 / 16) == read.lengths.tokens_per_second
    [table, *_] = ladder_tables(ladders([read]))
    assert "real\ntokens/s" in [column.heading for column in table.columns]


@pytest.mark.slow
def test_a_mask_that_is_dropped_is_refused(make_rig: MakeRig, texts: ModelSpec, tmp_path: Path) -> None:
    """The reference is right all the same: a text alone has no padding to mask."""
    masked, unmasked = '{"input_ids": 0, "attention_mask": 1}', '{"input_ids": 0}'
    rig = make_rig(root=changed(tmp_path, "models/transformers_models.py", masked, unmasked))

    assert "SQNR" in refused_as(rig, resolve("lengths_padded", STEPS, rig.machine), DriftError, texts)


@pytest.mark.slow
def test_buckets_that_are_not_used_are_refused(make_rig: MakeRig, texts: ModelSpec, tmp_path: Path) -> None:
    rig = make_rig(root=changed(tmp_path, "inputs/lengths.py", "bucket(own, longest) if BUCKETS in words else longest", "longest"))

    assert "the outputs have 640 tokens, where the strategy has 416 tokens computed for 288 real ones" in refused(
        rig, resolve("lengths_buckets", STEPS, rig.machine), texts
    )


@pytest.mark.slow
def test_a_graph_for_each_length_is_none_for_all(make_rig: MakeRig, texts: ModelSpec, tmp_path: Path) -> None:
    """`dynamic=True` forgotten: every length is compiled for itself."""
    rig = make_rig(root=changed(tmp_path, "runtimes/inductor.py", 'dynamic="dynamic_shapes" in job.transforms', "dynamic=False"))

    assert "3 graphs for batches of 3 lengths" in refused(rig, resolve("lengths_compile_dynamic", STEPS, rig.machine), texts)


@pytest.mark.slow
def test_lengths_that_are_alike_are_skipped(make_rig: MakeRig, texts: ModelSpec) -> None:
    rig = make_rig()
    alike = msgspec.structs.replace(texts, lengths=((40, 1.0),))

    message = refused_as(rig, resolve("lengths_buckets", STEPS, rig.machine), NothingChangedError, alike)
    assert "nothing changed: 640 tokens computed for 640 real ones" in message
