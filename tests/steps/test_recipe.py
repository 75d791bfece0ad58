"""How steps stack, what is left out, and what a recipe asks of its workers."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.bench.variables import for_workers
from fixtures.machine.allocators import library
from fixtures.protocol import ModelSpec
from fixtures.steps.optimizations import Optimization, catalogue, families
from fixtures.steps.recipe import Recipe, ancestors, bottom, may_be_left_out, quick_steps, resolve, unmet
from fixtures.steps.requirements import Requirement, Skip
from reports.text.image_shape import square
from tests.machines import X86

EVERYTHING = {name: replace(step, requires=()) for name, step in catalogue().items()}
NEVER = Requirement("never", lambda machine: Skip("not here", "go elsewhere"))
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TELL_THEIR_MODE = ("eager", "inductor", "torch_generation")  # runtimes that serve a module of torch's
MODEL = ModelSpec(name="torchvision:resnet18", image=square(64))


def recipe(step: str, steps: Mapping[str, Optimization] = EVERYTHING, failed: frozenset[str] = frozenset()) -> Recipe:
    """The recipe of `step` on a machine that lacks nothing."""
    return resolve(step, steps, X86, failed)


def without(*names: str) -> dict[str, Optimization]:
    """The catalogue for a machine where the steps `names` do not apply."""
    return {name: replace(step, requires=(NEVER,)) if name in names else step for name, step in EVERYTHING.items()}


def names(of: Recipe) -> list[str]:
    return [step.name for step in of.steps]


def test_every_family_has_a_file_of_benchmarks() -> None:
    """Which measures its steps."""
    assert set(families()) <= {file.stem.removeprefix("test_") for file in BENCHMARKS.glob("test_*.py")}


@pytest.mark.parametrize("step", catalogue().values(), ids=lambda step: step.name)
def test_step_can_be_read_by_a_person(step: Optimization) -> None:
    """A step says in one phrase what it changes and where that comes from, and claims something that can be observed."""
    assert step.changes
    assert step.source.startswith("https://")
    assert step.claims


def test_steps_stack_up_from_the_baseline() -> None:
    """The memory family is cumulative."""
    assert names(recipe("huge_pages")) == ["baseline", "batch_8", "channels_last", "bf16_autocast", "tcmalloc", "huge_pages"]
    assert recipe("huge_pages").over == "tcmalloc"
    assert recipe("huge_pages").left_out == ()


def test_baseline_takes_turns_with_nothing() -> None:
    """There is nothing below the baseline."""
    assert recipe("baseline").over is None


def test_what_does_not_apply_is_left_out_and_the_next_below_is_built_on() -> None:
    """A skipped step takes with it what it would have changed."""
    left = recipe("compile", without("tcmalloc", "huge_pages"))

    assert left.over == "bf16_autocast"
    assert left.left_out == ("tcmalloc", "huge_pages")
    assert left.environment == {}


def test_a_quick_run_compares_only_steps_that_it_shows() -> None:
    """The recipe stays whole; only the step that it takes turns with is another."""
    usual = resolve("compile_freezing", EVERYTHING, X86)
    quick = resolve("compile_freezing", EVERYTHING, X86, compared=set(quick_steps(X86, EVERYTHING)))
    assert ("compile", "bf16_autocast") == (usual.over, quick.over)
    assert usual.steps == quick.steps


def test_a_precision_that_may_be_left_out_is_compared_with_the_step_right_below() -> None:
    """Whatever a quick run shows: else its gain would be another step's as well, and a loss might be the other's."""
    assert "batch_8" == resolve("bf16_autocast", EVERYTHING, X86, {"channels_last"}, compared={"baseline"}).over
    assert "baseline" == resolve("channels_last", EVERYTHING, X86, compared={"baseline"}).over
    assert "baseline" == resolve("compile_freezing", EVERYTHING, X86, compared={"baseline"}).over


def test_a_quick_run_compiles_in_fp32_where_bf16_is_left_out() -> None:
    """Over the nearest step that it shows."""
    quick = set(quick_steps(X86, EVERYTHING))
    compiled = resolve("compile_freezing", EVERYTHING, X86, {"bf16_autocast"}, compared=quick)
    int8 = resolve("openvino_int8", EVERYTHING, X86, {"openvino"}, compared=quick)

    assert ("channels_last", "fp32", ("bf16_autocast",)) == (compiled.over, compiled.precision, compiled.left_out)
    assert "openvino_fp32" == int8.over


def test_steps_that_change_layout_precision_allocator_or_environment_may_be_left_out() -> None:
    """Where others stand on them; never a runtime, a batch size or workers."""
    left_out = {step for step in EVERYTHING if may_be_left_out(step, EVERYTHING)}

    assert {"channels_last", "bf16_autocast", "tcmalloc", "huge_pages", "openvino", "openvino_int8"} <= left_out
    assert not left_out & {"baseline", "batch_8", "compile", "onnxruntime", "openvino_fp32", "workers_pinned"}


def test_int8_of_openvino_leaves_the_rest_in_the_precision_that_pays() -> None:
    """In the one that the device chooses, or in fp32 where that one is left out."""
    settings = [recipe("openvino_int8", failed=frozenset(left)).job(MODEL, threads=1).settings for left in ((), {"openvino"})]

    assert [None, "f32"] == [each.get("INFERENCE_PRECISION_HINT") for each in settings]
    assert "openvino_fp32" == recipe("openvino_int8", failed=frozenset({"openvino"})).over


def test_a_quick_run_has_the_ground_of_bf16_where_there_is_bf16() -> None:
    """And fp32 of every runtime, so that it answers where bf16 does not pay, or does not exist."""
    quick = quick_steps(X86, EVERYTHING)

    assert {"channels_last", "compile_freezing", "onnxruntime", "openvino_fp32"} < set(quick)
    assert set(quick) - {"channels_last"} == set(quick_steps(X86, without("bf16_autocast")))


def test_what_failed_is_left_out_as_well() -> None:
    """A step that failed on this machine is no ground to build on."""
    left = recipe("tcmalloc", failed=frozenset({"bf16_autocast"}))

    assert (left.over, left.left_out) == ("channels_last", ("bf16_autocast",))
    assert left.precision == "fp32"


def test_a_step_itself_is_measured_even_where_it_failed_before() -> None:
    """Only steps below are left out."""
    assert names(recipe("channels_last", failed=frozenset({"channels_last"})))[-1] == "channels_last"


def test_unmet_requirement_says_why_and_what_to_do() -> None:
    """The first requirement that is not met is the reason."""
    assert unmet(without("tcmalloc")["tcmalloc"], X86) == Skip("not here", "go elsewhere")
    assert unmet(EVERYTHING["tcmalloc"], X86) is None


def test_unknown_step_is_an_error() -> None:
    """A name that is not in the catalogue is never guessed."""
    with pytest.raises(KeyError, match="chanels_last"):
        recipe("chanels_last")


def test_a_later_claim_replaces_an_earlier_one_on_the_same_subject() -> None:
    """Under autocast kernels are claimed to be bf16, no longer f32; all other claims stay."""
    by_subject = {claim.subject: claim.text for claim in recipe("bf16_autocast").claims}

    assert set(by_subject) == {"mode", "threads", "batch", "layout", "precision"}
    assert "bf16" in by_subject["precision"]


def test_superseded_claims_are_dropped() -> None:
    """OpenVINO has no eval mode; a package's weights lie in no memory of torch's."""
    assert "mode" not in {claim.subject for claim in recipe("openvino_fp32").claims}
    assert "pages" in {claim.subject for claim in recipe("compile_freezing").claims}
    assert "pages" not in {claim.subject for claim in recipe("aot_inductor").claims}


def test_a_left_out_step_leaves_its_claims_out() -> None:
    """What is not in force is not claimed."""
    assert "allocator" not in {claim.subject for claim in recipe("huge_pages", without("tcmalloc")).claims}


@pytest.mark.parametrize("mode", ["always", "never", "unknown"])
@pytest.mark.parametrize("step", catalogue())
def test_no_claim_presupposes_a_step_that_was_left_out(step: str, mode: str) -> None:
    """Where huge pages are not given on request, no recipe claims anything that only the steps left out for it bring."""
    steps, machine = catalogue(), replace(X86, thp_mode=mode)
    found = resolve(step, steps, machine)
    in_force = {each.name for each in found.steps}
    needs_mode = {name for name, each in steps.items() if (unmet(each, machine) is None) != (unmet(each, X86) is None)}
    left_out = needs_mode - in_force
    theirs = {claim.subject for name in left_out for claim in steps[name].claims}
    others = {claim.subject for each in found.steps if each.name not in needs_mode and each.name != step for claim in each.claims}

    assert needs_mode
    assert {claim.subject for claim in found.claims} & (theirs - others) == set()


def test_tolerance_is_that_of_the_last_step_which_states_one() -> None:
    """Steps without a tolerance of their own keep the one below."""
    assert recipe("channels_last").least_sqnr_db == EVERYTHING["baseline"].least_sqnr_db
    assert recipe("compile_freezing").least_sqnr_db == EVERYTHING["bf16_autocast"].least_sqnr_db


def test_environment_holds_what_the_steps_set_and_nothing_else() -> None:
    """The preloaded allocator is one of the variables."""
    expected = {"THP_MEM_ALLOC_ENABLE": "1", "OMP_NUM_THREADS": "1"}
    installed = library("tcmalloc")
    if installed is not None:
        expected["LD_PRELOAD"] = installed

    assert recipe("workers_pinned", without()).environment == expected
    assert recipe("workers_pinned", without("tcmalloc", "huge_pages")).environment == {"OMP_NUM_THREADS": "1"}


def test_the_suite_removes_exactly_the_variables_that_steps_set() -> None:
    """All other inherited variables pass through to the workers."""
    set_by_steps = {name: "1" for step in catalogue().values() for name in step.environment}
    others = {"ONEDNN_MAX_CPU_ISA": "AVX2", "HOME": "/home/me"}

    assert {"OMP_NUM_THREADS", "THP_MEM_ALLOC_ENABLE"} <= set(set_by_steps)
    twins = {"ONEDNN_DEFAULT_FPMATH_MODE": "STRICT", "DNNL_DEFAULT_FPMATH_MODE": "BF16"}  # oneDNN reads both
    assert others == for_workers(catalogue(), set_by_steps | others | twins)


def test_job_of_the_baseline() -> None:
    """One worker, one image, all threads, nothing transformed."""
    job = recipe("baseline").job(MODEL, threads=4)

    assert (job.runtime, job.precision, job.batch_size, job.threads, job.workers, job.pinned) == ("eager", "fp32", 1, 4, 1, False)
    assert job.transforms == ()
    assert job.settings == {}


def test_job_adds_up_transforms_and_settings() -> None:
    """Transforms stack in order; an empty setting leaves the choice to the runtime."""
    job = recipe("openvino_throughput").job(MODEL, threads=2)

    assert (job.runtime, job.precision, job.batch_size) == ("openvino", "int8", 8)
    assert job.transforms == ("int8", "asynchronous")
    assert job.settings == {"PERFORMANCE_HINT": "THROUGHPUT"}


def test_job_of_pinned_workers_has_one_thread_each() -> None:
    """As many workers as allowed threads."""
    job = recipe("workers_pinned").job(MODEL, threads=4)

    assert (job.workers, job.threads, job.pinned) == (4, 1, True)


def test_batch_size_option_moves_the_base() -> None:
    """`--batch-size N` adds its own step to the sweep, and all later steps build on it."""
    steps = catalogue(3)
    bases = {name: step.builds_on for name, step in steps.items() if name in catalogue() and catalogue()[name].builds_on == "batch_8"}

    assert {"channels_last", "onnxruntime", "openvino_fp32"} <= set(bases)
    assert set(bases.values()) == {"batch_3"}
    assert list(steps)[:4] == ["baseline", "batch_2", "batch_3", "batch_4"]
    assert resolve("channels_last", steps, X86).job(MODEL, threads=1).batch_size == 3


def test_batch_size_one_builds_on_the_baseline() -> None:
    """There is no `batch_1`: the baseline is it."""
    steps = catalogue(1)

    assert "batch_1" not in steps
    assert steps["channels_last"].builds_on == "baseline"


@pytest.mark.parametrize("step", ["batch_8", "channels_last", "onnxruntime_int8", "train_compile"])
def test_bottom_is_never_left_out(step: str) -> None:
    """Without it nothing says what runs; a step whose bottom failed is compared with nothing of it."""
    ground = bottom(step, EVERYTHING)
    found = recipe(step, failed=frozenset({ground}))

    assert names(found)[0] == ground
    assert ground not in found.left_out
    assert found.over != ground
    assert (found.runtime, found.precision) == (recipe(step).runtime, recipe(step).precision)


@pytest.mark.parametrize("step", EVERYTHING.values(), ids=lambda step: step.name)
def test_no_runtime_but_torchs_owes_the_mode_of_a_module(step: Optimization) -> None:
    """Whatever failed below it: no other runtime tells whether its model is in eval mode, so that it could never be proved."""
    below = list(ancestors(step.name, EVERYTHING))[1:]
    for failed in (frozenset[str](), frozenset(below), *(frozenset({each}) for each in below)):
        found = recipe(step.name, failed=failed)
        if found.runtime not in TELL_THEIR_MODE:
            assert "mode" not in {claim.subject for claim in found.claims}, failed
