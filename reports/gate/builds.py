"""Builds of equal code differ: how far, and whether head is slower by more than that explains. Pure.

A pair of base's build i and head's build j has d = slowdown + h_j - b_i + noise, a pair of the control d = b_1 - b_0 + noise. Least squares
tell all of them. How far the few builds differ tells little of how far others would, so the variance of builds is not put in as if it
were known: the p value is averaged over all variances that could have led to what was seen, as a generalized p value is (Weerahandi,
"Testing variance components in mixed models with generalized p values", 1991). Degrees of freedom by Satterthwaite would grow where few
builds happen to come out alike, and alarm several times too often.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Values = npt.NDArray[np.float64]

NODES = 48  # of the average over the variances of builds; twice as many move no p value by 0.1 %


@dataclass(frozen=True, slots=True)
class OverBuilds:
    """What pairs over several builds tell, for each gate of the leading axes.

    `p_value` is one-sided, that head is slower than builds of it and of base explain; `spread` is the standard deviation between builds of
    equal code. What pairs of one build spread is in it too, so that it is rather too large than too small.
    """

    p_value: "Values"
    spread: "Values"


@dataclass(frozen=True, slots=True)
class _Side:
    """The columns of a side's builds: `coding` has a row for each build and sums to zero over them; `place` tells each pair's row."""

    coding: Any
    place: list[int]

    @property
    def builds(self) -> int:
        return len(self.coding)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Estimates:
    """The slowdown, the sum of the squares of all builds' estimates, and the variance of the noise.

    `squares` / (variance of builds + noise) is chi-square with `freedom`; `in_squares` and `in_slowdown` say how much of the variance of
    noise, of which `left` degrees of freedom tell, is in the squares and in the slowdown, `of_builds` how much of that of builds is in the
    slowdown.
    """

    slowdown: "Values"
    squares: "Values"
    noise: "Values"
    freedom: int
    left: int
    in_squares: float
    in_slowdown: float
    of_builds: float


def over_builds(
    slowdowns: Any,
    base_builds: Sequence[int],
    head_builds: Sequence[int],
    control: Any,
    control_builds: Sequence[tuple[int, int]] | None = None,
) -> OverBuilds:
    """Judge slowdowns of shape (..., pairs), of which each is of a build of base and one of head, with a control of shape (..., pairs).

    A pair of the control is of the two builds of base in `control_builds`, the first and the second where nothing is said, and tells
    nothing where one of them serves in no other pair.
    Raises ValueError where builds and pairs are not equally many, or where every pair has the same builds, so that nothing is sampled.
    """
    import numpy as np

    slowdowns, control = np.asarray(slowdowns, dtype=float), np.asarray(control, dtype=float)
    if not slowdowns.shape[-1] == len(base_builds) == len(head_builds):
        raise ValueError(f"{slowdowns.shape[-1]} pairs of {len(base_builds)} builds of base and {len(head_builds)} of head")
    base, head = _side(base_builds), _side(head_builds)
    freedom = base.builds + head.builds - 2
    if not freedom:
        raise ValueError("every pair has the same builds")
    design = np.hstack([np.ones((len(base.place), 1)), -base.coding[base.place], head.coding[head.place]])
    every = sorted(set(base_builds))
    of_control = [(0, 1)] * control.shape[-1] if control_builds is None else control_builds
    told = [place for place, builds in enumerate(of_control) if {*builds} <= {*every}]
    if told:
        first, second = (base.coding[[every.index(of_control[place][side]) for place in told]] for side in (0, 1))
        zeros = np.zeros((len(told), head.builds))
        design = np.vstack([design, np.hstack([zeros[:, :1], second - first, zeros[:, 1:]])])
        slowdowns = np.concatenate([slowdowns, control[..., told]], axis=-1)
    solve = np.linalg.pinv(design)
    of_noise = solve @ solve.T  # the covariance of the estimates, in units of the noise's variance
    found = slowdowns @ solve.T
    left = design.shape[0] - int(np.linalg.matrix_rank(design))
    noise = ((slowdowns - found @ design.T) ** 2).sum(-1) / max(left, 1)
    parts = ((slice(1, base.builds), base), (slice(base.builds, None), head))  # of the estimates, the first of which is the slowdown
    squares = sum(((found[..., part] @ side.coding.T) ** 2).sum(-1) for part, side in parts)
    in_squares = sum(float(np.trace(side.coding @ of_noise[part, part] @ side.coding.T)) for part, side in parts)
    estimates = _Estimates(
        slowdown=found[..., 0],
        squares=squares,
        noise=noise,
        freedom=freedom,
        left=left,
        in_squares=in_squares,
        in_slowdown=float(of_noise[0, 0]),
        of_builds=1 / base.builds + 1 / head.builds,
    )
    return OverBuilds(p_value=_generalized(estimates), spread=np.sqrt(squares / freedom))


def _side(numbers: Sequence[int]) -> _Side:
    import numpy as np

    every = sorted(set(numbers))
    coding = np.vstack([np.eye(len(every) - 1), -np.ones((1, len(every) - 1))])
    return _Side(coding, [every.index(number) for number in numbers])


@cache
def _quadrature() -> "tuple[Values, Values]":
    """Return the nodes of Gauss and Legendre between -1 and 1, and their weights."""
    import numpy as np

    return np.polynomial.legendre.leggauss(NODES)


def _generalized(seen: _Estimates) -> "Values":
    """Return the p value of the slowdown, averaged over the variances of builds that the squares allow.

    For each of them the slowdown has Student's t with the degrees of freedom of the noise, also where builds outweigh it, so that p values
    are up to about twice too large. That makes up for the builds that the screen had, too: for them it is a suspect.
    """
    import numpy as np
    from scipy.special import gammaincinv, stdtr

    if seen.left < 1:
        return np.ones_like(seen.slowdown)
    nodes, weights = _quadrature()
    place = (nodes + 1) / 2  # towards 0, where the variances are large
    weights, chi_square = weights * 2 * place**3, 2 * gammaincinv(seen.freedom / 2, place**4)
    slowdown, squares, noise = (each[..., None] for each in (seen.slowdown, seen.squares, seen.noise))
    variance = np.maximum(squares / chi_square - noise * seen.in_squares / seen.freedom, 0)
    deviation = np.sqrt(seen.of_builds * variance + seen.in_slowdown * noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(deviation > 0, -slowdown / deviation, np.where(slowdown > 0, -math.inf, math.inf))
    return np.asarray((stdtr(seen.left, score) * weights).sum(-1))
