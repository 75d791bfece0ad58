"""Agreement of outputs with the fp32 reference, against values worked out by hand."""

import numpy as np
import pytest

from fixtures.accuracy import DriftError, compare, compare_all

REFERENCE = np.array([[3.0, 4.0], [0.0, 5.0]], dtype=np.float32)


def test_equal_outputs_agree_fully() -> None:
    """A step that changes no arithmetic has cosine 1 and no error."""
    agreement = compare(REFERENCE.copy(), REFERENCE)

    assert pytest.approx(1.0) == agreement.cosine
    assert (agreement.max_abs_error, agreement.relative_error, agreement.top1_agreement, agreement.samples) == (0.0, 0.0, 1.0, 2)


def test_hand_computed_values() -> None:
    """(3, 4, 0, 5) against (4, 3, 0, 5): dot 49, both norms sqrt(50), largest error 1 of 5, one of two classes agrees."""
    agreement = compare(np.array([[4.0, 3.0], [0.0, 5.0]]), REFERENCE)

    assert pytest.approx(49 / 50) == agreement.cosine
    assert pytest.approx(1.0) == agreement.max_abs_error
    assert pytest.approx(0.2) == agreement.relative_error
    assert pytest.approx(0.5) == agreement.top1_agreement


def test_outputs_of_zero_have_no_similarity() -> None:
    """All zeros are a failure, not a division by zero."""
    assert compare(np.zeros_like(REFERENCE), REFERENCE).cosine == 0.0


def test_cosine_never_exceeds_one() -> None:
    """Rounding does not make outputs better than equal."""
    outputs = np.linspace(0.1, 0.2, 8000, dtype=np.float32).reshape(8, 1000)

    assert compare(outputs, outputs).cosine <= 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_drifted(bad: float) -> None:
    """One NaN or infinity is enough."""
    outputs = REFERENCE.copy()
    outputs[1, 1] = bad

    with pytest.raises(DriftError, match="NaN or infinity"):
        compare(outputs, REFERENCE)


def test_another_shape_drifted() -> None:
    """Both shapes are named."""
    with pytest.raises(DriftError, match=r"shape \(1, 2\), the fp32 eager reference \(2, 2\)"):
        compare(REFERENCE[:1], REFERENCE)


def test_reference_without_any_difference_proves_nothing() -> None:
    """A model whose outputs are all the same agrees with anything that is constant."""
    with pytest.raises(DriftError, match=r"reference is degenerate.*trained --weights"):
        compare(np.full((2, 3), 0.5), np.full((2, 3), 0.5))


def test_top1_is_counted_for_each_token() -> None:
    """Of (samples, tokens, classes), as of (samples, classes), the classes are last: here one of four tokens chooses another."""
    reference = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]])
    outputs = reference.copy()
    outputs[1, 1] = [0.0, 1.0]

    assert pytest.approx(0.75) == compare(outputs, reference).top1_agreement


def test_the_worst_of_several_outputs_counts() -> None:
    """A large output does not hide a small one."""
    reference = {"large": 1000 * REFERENCE, "small": REFERENCE}
    agreement = compare_all([1000 * REFERENCE, np.array([[4.0, 3.0], [0.0, 5.0]])], reference)

    assert pytest.approx(49 / 50) == agreement.cosine
    assert pytest.approx(1.0) == agreement.max_abs_error


def test_whole_numbers_and_constants_count_only_where_there_is_nothing_else() -> None:
    """A chosen class flips with the least difference; a mask of ones says nothing."""
    chosen, mask = np.array([1, 1]), np.ones((2, 2), dtype=np.float32)
    agreement = compare_all([np.array([0, 1]), mask, REFERENCE], {"best": chosen, "mask": mask, "scores": REFERENCE})

    assert pytest.approx(1.0) == agreement.cosine
    whole = compare_all([np.array([[0, 2], [2, 0]])], {"best": np.array([[2, 2], [2, 0]])})
    assert pytest.approx(8 / np.sqrt(8 * 12)) == whole.cosine
    with pytest.raises(DriftError, match="degenerate"):
        compare_all([mask], {"mask": mask})


def test_output_that_drifted_is_named() -> None:
    """Where there are several."""
    bad = np.full_like(REFERENCE, np.nan)

    with pytest.raises(DriftError, match="output 'pooled': outputs contain NaN"):
        compare_all([REFERENCE, bad], {"hidden": REFERENCE, "pooled": REFERENCE})
    with pytest.raises(DriftError, match=r"^outputs contain NaN"):
        compare_all([bad], {"hidden": REFERENCE})
    with pytest.raises(DriftError, match="1 outputs, the fp32 eager reference has 2: hidden, pooled"):
        compare_all([REFERENCE], {"hidden": REFERENCE, "pooled": REFERENCE})
