"""How far apart two shares are that were counted on the same pictures. Pure."""

import math

QUANTILE_95 = 1.96


def paired_difference(gained: int, lost: int, count: int, quantile: float = QUANTILE_95) -> tuple[float, float, float]:
    """Return the difference of two shares of `count` pictures and its interval: `gained` are in the one alone, `lost` in the other alone.

    The interval is that of Agresti and Min (2005), https://doi.org/10.1002/sim.1781: half a picture more in each of the four cells.
    """
    more, fewer, of = gained + 0.5, lost + 0.5, count + 2
    centre = (more - fewer) / of
    error = math.sqrt(more + fewer - (more - fewer) ** 2 / of) / of
    return (gained - lost) / count, centre - quantile * error, centre + quantile * error
