"""Agreement of outputs with the fp32 reference, against values worked out by hand; what does not depend on the input counts for nothing."""

import numpy as np
import pytest

from fixtures.steps.accuracy import MOST_DB, Agreement, DegenerateError, DriftError, binomial_interval, compare, compare_all

REFERENCE = np.array([[3.0, 4.0], [0.0, 5.0]], dtype=np.float32)
RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((16, 10)).astype(np.float32)
OFFSET = 5 * RNG.standard_normal(10).astype(np.float32)  # what all samples have in common
INT8_DB, HALF_DB, FP32_DB = 10.0, 20.0, 60.0


def test_equal_outputs_agree_fully() -> None:
    """A step that changes no arithmetic has no noise; JSON has no infinity, so that the ratio has an end."""
    agreement = compare(REFERENCE.copy(), REFERENCE)

    assert agreement.sqnr_db == MOST_DB
    assert pytest.approx((1.0, 1.0)) == (agreement.cosine, agreement.centred_cosine)
    assert (agreement.max_abs_error, agreement.relative_error, agreement.top1_agreement, agreement.samples) == (0.0, 0.0, 1.0, 2)
    assert agreement.kl_divergence == 0.0


def test_hand_computed_values() -> None:
    """(3, 4, 0, 5) against (4, 3, 0, 5): means (1.5, 4.5), so r_c is (1.5, -.5, -1.5, .5), its power 5; the error's is 2."""
    agreement = compare(np.array([[4.0, 3.0], [0.0, 5.0]]), REFERENCE)

    assert pytest.approx(10 * np.log10(5 / 2)) == agreement.sqnr_db
    assert pytest.approx((2.5 * 1.5 + 0.75 + 2.25 + 0.25) / np.sqrt(5 * (6.25 + 2.25 + 2.25 + 0.25))) == agreement.centred_cosine
    assert pytest.approx(49 / 50) == agreement.cosine
    assert pytest.approx(1.0) == agreement.max_abs_error
    assert pytest.approx(0.2) == agreement.relative_error
    assert pytest.approx(0.5) == agreement.top1_agreement
    p = np.exp(1) / (1 + np.exp(1))
    assert pytest.approx((2 * p - 1) / 2) == agreement.kl_divergence  # of the first sample p is swapped, the second's is equal


def test_noise_of_a_tenth_is_twenty_decibels() -> None:
    """Whatever all outputs have in common: the cosine alone would call it nearer."""
    noise = RNG.standard_normal(LOGITS.shape).astype(np.float32)
    noise *= 0.1 * np.linalg.norm(LOGITS - LOGITS.mean(0)) / np.linalg.norm(noise)

    assert pytest.approx(20.0, abs=1e-3) == compare(LOGITS + noise, LOGITS).sqnr_db
    assert pytest.approx(20.0, abs=1e-3) == compare(LOGITS + OFFSET + noise, LOGITS + OFFSET).sqnr_db


@pytest.mark.parametrize(
    "wrong",
    [
        np.broadcast_to((LOGITS + OFFSET).mean(0), LOGITS.shape),
        np.roll(LOGITS + OFFSET, 1, axis=0),
        np.zeros_like(LOGITS),
        -(LOGITS + OFFSET),
    ],
    ids=["a constant", "another sample's", "zeros", "the negative"],
)
def test_outputs_that_ignore_their_input_keep_no_tolerance(wrong: np.ndarray) -> None:
    """A constant is at 0 dB, everything else that knows nothing of the input below, however alike the outputs are."""
    agreement = compare(np.ascontiguousarray(wrong), LOGITS + OFFSET)

    assert agreement.sqnr_db < 0.1
    assert not agreement.keeps(INT8_DB)


def test_constant_has_a_high_cosine_all_the_same() -> None:
    """Which is why the cosine decides nothing."""
    reference = LOGITS / 4 + OFFSET
    agreement = compare(np.broadcast_to(reference.mean(0), reference.shape).copy(), reference)

    assert agreement.cosine > 0.998
    assert not agreement.keeps(INT8_DB)


@pytest.mark.parametrize("count", [1, 5])
def test_fewer_samples_are_held_against_the_mean_of_all(count: int) -> None:
    """Later pairs compare one batch: one sample alone has no part that depends on the input, but all together say which it is."""
    assert not compare(np.broadcast_to(LOGITS.mean(0), (count, 10)).copy(), LOGITS).keeps(INT8_DB)
    assert compare(LOGITS[:count] * 1.01, LOGITS).keeps(HALF_DB)
    assert compare(LOGITS[:count], LOGITS).samples == count


def test_one_sample_near_the_mean_is_held_against_what_all_depend_on() -> None:
    """The first row is nearly the mean: its right output, with the noise of all others, must not seem wrong."""
    near = LOGITS.copy()
    near[0] = LOGITS[1:].mean(0) + 0.01
    noise = 0.05 * np.random.default_rng(9).standard_normal(near.shape).astype(np.float32)
    [one, whole] = [compare(near[:count] + noise[:count], near).sqnr_db for count in (1, len(near))]
    assert abs(one - whole) < 3
    assert compare(near[:1] + noise[:1], near).keeps(HALF_DB)


INFINITE = "outputs are infinite where the fp32 eager reference is not"


@pytest.mark.parametrize(("bad", "told"), [(np.inf, INFINITE), (-np.inf, INFINITE), (np.nan, "outputs contain NaN")])
def test_infinity_or_nan_elsewhere_drifted(bad: float, told: str) -> None:
    """One is enough."""
    outputs = REFERENCE.copy()
    outputs[1, 1] = bad

    with pytest.raises(DriftError, match=told):
        compare(outputs, REFERENCE)


def test_infinities_at_the_same_places_are_equal() -> None:
    """Masked logits: what is not masked is compared."""
    masked = LOGITS.copy()
    masked[:, :3] = -np.inf
    masked[2, 5] = np.inf
    agreement = compare(masked * np.float32(1.01), masked)

    assert pytest.approx(40.0, abs=3) == agreement.sqnr_db
    assert agreement.kl_divergence is not None
    assert 0 <= agreement.kl_divergence < 0.01
    opposite = masked.copy()
    opposite[0, 0] = np.inf
    with pytest.raises(DriftError, match="infinite where"):
        compare(opposite, masked)


def test_nan_of_the_reference_is_a_finding_or_refused() -> None:
    """An output that is NaN in fp32 is not compared, and the finding names it; nothing at all to compare is refused."""
    nothing = np.full_like(LOGITS, np.nan)
    agreement = compare_all([LOGITS, nothing], {"logits": LOGITS, "attention": nothing})

    assert agreement.findings == ("output 'attention' is NaN in fp32 eager and was not compared",)
    with pytest.raises(DegenerateError, match="reference contains NaN"):
        compare(LOGITS, nothing)


def test_huge_values_are_measured() -> None:
    """Squares of 1e30 are no infinity, and a softmax of them is a choice."""
    agreement = compare(LOGITS * np.float32(1.001e30), LOGITS * np.float32(1e30))

    assert pytest.approx(60.0, abs=2) == agreement.sqnr_db
    assert 1e26 < agreement.max_abs_error < 1e28
    assert agreement.kl_divergence is not None
    assert np.isfinite(agreement.kl_divergence)


@pytest.mark.parametrize("shape", [(16, 257), (16, 4, 33), (16,)])
def test_complex_numbers_are_compared_as_such(shape: tuple[int, ...]) -> None:
    """A wrong imaginary part is an error, and there is no class among them."""
    spectrum = (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)
    agreement = compare(spectrum * np.complex64(1.1), spectrum)

    assert pytest.approx(20.0, abs=1) == agreement.sqnr_db
    assert agreement.top1_agreement is None
    assert not compare(spectrum.conj(), spectrum).keeps(INT8_DB)
    assert not compare(spectrum.real.astype(np.complex64), spectrum).keeps(INT8_DB)


@pytest.mark.parametrize("dtype", [bool, np.int64])
def test_booleans_and_whole_numbers_are_compared_exactly(dtype: type) -> None:
    """Equal ones have no noise; of those that depend on the input 0.1 % may differ at 60 dB, 10 % at 20 dB, 32 % at 10 dB."""
    reference: np.ndarray = (LOGITS > 0).astype(dtype)
    differing = int((reference != np.roll(reference, 1, axis=0)).sum())
    one_wrong = reference.copy()
    one_wrong[0, 0] = 1 - one_wrong[0, 0]

    equal = compare(reference.copy(), reference)
    assert (equal.sqnr_db, equal.equal_share) == (MOST_DB, 1.0)
    agreement = compare(one_wrong, reference)
    assert pytest.approx(20 * np.log10(differing)) == agreement.sqnr_db
    assert pytest.approx(1 - 1 / 160) == agreement.equal_share
    assert agreement.keeps(HALF_DB)
    assert not agreement.keeps(FP32_DB)
    for wrong in (np.zeros_like(reference), np.ones_like(reference), np.roll(reference, 1, axis=0)):
        assert not compare(wrong, reference).keeps(INT8_DB)


def test_another_shape_drifted() -> None:
    """Both shapes are named."""
    with pytest.raises(DriftError, match=r"shape \(2, 1\), the fp32 eager reference \(2, 2\)"):
        compare(REFERENCE[:, :1], REFERENCE)
    with pytest.raises(DriftError, match=r"shape \(3, 2\), the fp32 eager reference \(2, 2\)"):
        compare(np.zeros((3, 2)), REFERENCE)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (np.full((16, 3), 0.5), "its outputs hardly differ between the samples"),
        (np.zeros((16, 3)), "all outputs are zero"),
        (LOGITS / 1000 + OFFSET, "its outputs hardly differ between the samples"),
        (np.broadcast_to(OFFSET, (16, 10)), "its outputs hardly differ between the samples"),
        (np.ones((16, 3), dtype=bool), "its outputs hardly differ between the samples"),
    ],
    ids=["one value", "zeros", "hardly", "one row", "booleans"],
)
def test_reference_that_hardly_depends_on_its_input_proves_nothing(reference: np.ndarray, reason: str) -> None:
    """One clear sentence, with the remedy."""
    with pytest.raises(DegenerateError, match=rf"^the fp32 eager reference is degenerate: {reason}.*trained --weights"):
        compare(reference.copy(), reference)


def test_inputs_that_do_not_differ_are_no_fault_of_the_model() -> None:
    """An example of one row: outputs are compared as they are, and a finding says so."""
    same = np.repeat(LOGITS[:1], 8, axis=0)
    agreement = compare_all([same * 1.001], {"output": same}, inputs_differ=False)

    assert pytest.approx(60.0, abs=0.1) == agreement.sqnr_db
    assert "give an example of different rows" in agreement.findings[0]


def test_top1_is_counted_for_each_token() -> None:
    """Of (samples, tokens, classes), as of (samples, classes), the classes are last: here one of four tokens chooses another."""
    reference = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    outputs = reference.copy()
    outputs[1, 1] = [1.0, 0.0]

    assert pytest.approx(0.75) == compare(outputs, reference).top1_agreement
    assert compare(LOGITS.reshape(16, 1, 2, 5), LOGITS.reshape(16, 1, 2, 5)).top1_agreement is None  # an image has no classes last
    assert compare(LOGITS[:, :1], LOGITS[:, :1]).top1_agreement is None


@pytest.mark.parametrize(("hits", "low", "high"), [(16, 0.794, 1.0), (8, 0.247, 0.753), (0, 0.0, 0.206)])
def test_top1_has_its_binomial_interval(hits: int, low: float, high: float) -> None:
    """Clopper and Pearson's: 16 of 16 say no more than "above 79 %"."""
    assert pytest.approx((low, high), abs=1e-3) == binomial_interval(hits / 16, 16)


def test_the_worst_of_several_outputs_counts() -> None:
    """A large output does not hide a small one."""
    reference = {"large": 1000 * REFERENCE, "small": REFERENCE}
    agreement = compare_all([1000 * REFERENCE, np.array([[4.0, 3.0], [0.0, 5.0]])], reference)

    assert pytest.approx(49 / 50) == agreement.cosine
    assert pytest.approx(1.0) == agreement.max_abs_error


def test_whole_numbers_count_only_where_there_is_nothing_else() -> None:
    """A chosen class flips with the least difference."""
    chosen = LOGITS.argmax(-1)
    agreement = compare_all([chosen[::-1], LOGITS], {"best": chosen, "scores": LOGITS})

    assert agreement.sqnr_db == MOST_DB
    assert compare_all([chosen[::-1]], {"best": chosen}).sqnr_db < INT8_DB


def test_constant_beside_other_outputs_is_compared_as_it_is() -> None:
    """Anchors and masks may be constant, but not wrong."""
    anchors = np.broadcast_to(OFFSET, (16, 10))
    reference = {"anchors": anchors, "scores": LOGITS}

    assert compare_all([anchors.copy(), LOGITS], reference).sqnr_db == MOST_DB
    assert not compare_all([anchors * 2, LOGITS], reference).keeps(INT8_DB)


def test_output_that_drifted_is_named() -> None:
    """Where there are several."""
    bad = np.full_like(REFERENCE, np.nan)

    with pytest.raises(DriftError, match="output 'pooled': outputs contain NaN"):
        compare_all([REFERENCE, bad], {"hidden": REFERENCE, "pooled": REFERENCE})
    with pytest.raises(DriftError, match=r"^outputs contain NaN"):
        compare_all([bad], {"hidden": REFERENCE})
    with pytest.raises(DriftError, match=r"1 outputs, the fp32 eager reference has 2 \(hidden, pooled\)"):
        compare_all([REFERENCE], {"hidden": REFERENCE, "pooled": REFERENCE})


def test_agreement_says_what_decides_first() -> None:
    """As a refusal has it."""
    agreement = Agreement(
        sqnr_db=9.94, centred_cosine=0.9, cosine=0.99991, max_abs_error=1, relative_error=0.1, top1_agreement=0.5, samples=16
    )

    assert str(agreement) == "SQNR 9.9 dB (cosine 0.99991, top-1 agreement 0.500)"


def test_losses_that_hardly_differ_between_samples() -> None:
    """A user's network begins with much the same loss for each sample: its losses are compared as they are, and never degenerate."""
    losses = np.array([[6.90], [6.91], [6.92], [6.90]])
    agreement = compare_all([losses * 1.01], {"losses": losses}, centred=False)

    assert agreement.sqnr_db == pytest.approx(40.0)
    assert agreement.findings == ()
