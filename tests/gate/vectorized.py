"""The gate's rule once more, in numpy over thousands of gates at once, for rates that single gates are too slow for."""

import itertools
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from reports.gate.decision import Rules

RULES = Rules()
PASS, INCONCLUSIVE, REGRESSION = 0, 1, 2
SIGNS = np.array(list(itertools.product((1, -1), repeat=RULES.confirm_pairs)), dtype=np.float32)
Draw = Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]


def verdicts(slowdowns: np.ndarray) -> np.ndarray:
    """Return the verdict of each benchmark, shape (gates, benchmarks); slowdowns have shape (gates, benchmarks, 17), the screen's first."""
    screen, confirm = slowdowns[..., : RULES.screen_pairs], slowdowns[..., RULES.screen_pairs :]
    suspect = ~_passes(screen)
    found = np.where(suspect, INCONCLUSIVE, PASS)
    gates, benchmarks = np.nonzero(suspect)
    if not len(gates):
        return found
    screen, confirm = screen[gates, benchmarks], confirm[gates, benchmarks]
    deviation = confirm.std(1, ddof=1) / np.sqrt(RULES.confirm_pairs)
    p_values = np.ones(suspect.shape)
    p_values[gates, benchmarks] = stdtr(RULES.confirm_pairs - 1, -confirm.mean(1) / deviation)
    significant = _holm(p_values, suspect)[gates, benchmarks] <= RULES.alpha
    flips = np.concatenate(
        [
            (each @ SIGNS.T / RULES.confirm_pairs >= each.mean(1, keepdims=True) - 1e-7).mean(1)
            for each in np.array_split(confirm.astype(np.float32), len(confirm) // 500 + 1)
        ]
    )
    regression = significant & (flips <= RULES.alpha) & (np.expm1(np.median(confirm, 1)) >= RULES.least_effect)
    decided = np.where(regression, REGRESSION, np.where(_passes(confirm), PASS, INCONCLUSIVE))
    found[gates, benchmarks] = np.where(_lag_1_p(screen, confirm) <= RULES.alike, INCONCLUSIVE, decided)
    return found


def _passes(slowdowns: np.ndarray) -> np.ndarray:
    count = slowdowns.shape[-1]
    high = slowdowns.mean(-1) + stdtrit(count - 1, 1 - RULES.alpha) * slowdowns.std(-1, ddof=1) / np.sqrt(count)
    return np.asarray(np.expm1(high) < RULES.tolerated)


def _holm(p_values: np.ndarray, suspect: np.ndarray) -> np.ndarray:
    order = np.argsort(np.where(suspect, p_values, 2.0), axis=1)
    ranks = np.argsort(order, axis=1)
    factor = np.maximum(suspect.sum(1, keepdims=True) - np.arange(p_values.shape[1]), 1)
    ordered = np.maximum.accumulate(np.minimum(np.take_along_axis(p_values, order, 1) * factor, 1.0), axis=1)
    return np.asarray(np.take_along_axis(ordered, ranks, 1))


def _lag_1_p(*phases: np.ndarray) -> np.ndarray:
    combined = sum(np.sqrt(each.shape[-1]) * _score(each) for each in phases)
    return np.asarray(ndtr(-combined / np.sqrt(sum(each.shape[-1] for each in phases))))


def _score(slowdowns: np.ndarray) -> np.ndarray:
    count = slowdowns.shape[-1]
    centred = slowdowns - slowdowns.mean(-1, keepdims=True)
    lag_1 = (centred[:, :-1] * centred[:, 1:]).sum(-1) / (centred**2).sum(-1)
    return np.asarray((lag_1 + 1 / count) / ((count - 2) / (count * np.sqrt(count - 1))))
