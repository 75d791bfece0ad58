"""The gate's rule once more, in numpy over thousands of gates at once, for rates that single gates are too slow for."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from reports.gate.builds import over_builds
from reports.gate.decision import Rules
from reports.gate.statistics import sign_flip_test

RULES = Rules()
PASS, INCONCLUSIVE, REGRESSION = 0, 1, 2
SIGNS = np.array(list(itertools.product((1, -1), repeat=RULES.confirm_pairs)), dtype=np.float32)
Draw = Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]


@dataclass(frozen=True)
class Builds:
    """Four builds of each side: `control` has shape (gates, benchmarks, 6), `base` and `head` are the builds of each confirming pair."""

    control: np.ndarray
    base: Sequence[int]
    head: Sequence[int]


def verdicts(slowdowns: np.ndarray, looks: int = 1, rules: Rules = RULES, builds: Builds | None = None) -> np.ndarray:
    """Return the verdict of each benchmark, shape (gates, benchmarks), started again until so many looks were taken.

    Slowdowns have shape (gates, benchmarks, 6 + 11 * looks), the screen's first.
    """
    screen, confirm = slowdowns[..., : rules.screen_pairs], slowdowns[..., rules.screen_pairs :]
    levels = rules.screen_looks(has_own_builds=builds is not None)
    suspect = ~np.any([_passes(screen[..., :count], level, rules) for count, level in levels.items()], axis=0)
    found = np.where(suspect, INCONCLUSIVE, PASS)
    for look in range(1, looks + 1):
        place = np.nonzero(found == INCONCLUSIVE)
        if not len(place[0]):
            break
        found[place] = _at_look(look, screen[place], confirm[place][:, : look * rules.confirm_pairs], place, suspect, rules, builds)
    return found


def _at_look(
    look: int,
    screen: np.ndarray,
    confirm: np.ndarray,
    place: tuple[np.ndarray, ...],
    suspect: np.ndarray,
    rules: Rules,
    builds: Builds | None,
) -> np.ndarray:
    count = confirm.shape[1]
    p_values = np.ones(suspect.shape)
    if builds is None:
        p_values[place] = stdtr(count - 1, -confirm.mean(1) / (confirm.std(1, ddof=1) / np.sqrt(count)))
    else:
        p_values[place] = over_builds(confirm, builds.base[:count], builds.head[:count], builds.control[place]).p_value
    regression = _holm(p_values, suspect)[place] <= rules.alpha_of(look)
    regression &= np.expm1(np.median(confirm, 1)) >= rules.least_effect
    regression[regression] = _flips(confirm[regression]) <= rules.alpha
    decided = np.where(regression, REGRESSION, np.where(_passes(confirm, rules.bound_of(look), rules), PASS, INCONCLUSIVE))
    return np.where(_lag_1_p(screen, confirm) <= rules.alike, INCONCLUSIVE, decided)


def _passes(slowdowns: np.ndarray, alpha: float, rules: Rules) -> np.ndarray:
    count = slowdowns.shape[-1]
    high = slowdowns.mean(-1) + stdtrit(count - 1, 1 - alpha) * slowdowns.std(-1, ddof=1) / np.sqrt(count)
    return np.asarray(np.expm1(high) < rules.tolerated)


def _flips(confirm: np.ndarray) -> np.ndarray:
    if confirm.shape[1] != RULES.confirm_pairs:
        return np.array([sign_flip_test(each.tolist()) for each in confirm])
    parts = np.array_split(confirm.astype(np.float32), len(confirm) // 500 + 1)
    return np.concatenate([(each @ SIGNS.T / RULES.confirm_pairs >= each.mean(1, keepdims=True) - 1e-7).mean(1) for each in parts])


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
