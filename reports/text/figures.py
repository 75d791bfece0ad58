"""Numbers as text, the same in every output. None, where a figure does not apply, is a dash."""

from collections.abc import Mapping, Sequence

from reports.saved.record import Gain, Measurement, SavedAccuracy, SavedGain, SavedMetric
from reports.statistics import DISTURBED, FASTER, SLOWER
from reports.statistics.latency import Calls, has_p99, tail_s

NONE = "-"
EQUAL_DB = 200.0
LENGTHS_SHOWN = 6


def counted_in(measured: Measurement) -> str:
    """Return what a throughput counts: tokens where text is generated."""
    return "samples" if measured.generation is None else "tokens"


def per_second(value: float | None) -> str:
    return NONE if value is None else significant(value)


def milliseconds(value_s: float | None) -> str:
    return NONE if value_s is None else significant(1000 * value_s)


def p99_ms(calls: Calls) -> str:
    """Return a p99 in milliseconds; of fewer calls than have one, the slowest: `48.1 (max of 27)`."""
    few = max_of(calls)
    return f"{tail_ms(calls)} ({few})" if few else tail_ms(calls)


def tail_ms(calls: Calls) -> str:
    """Return the number of that alone, which `max_of` stands beside: `48.1`."""
    return milliseconds(tail_s(calls))


def max_of(calls: Calls) -> str:
    """Return that the slowest call stands where a p99 would: `max of 27`; nothing where there are calls enough for one."""
    return "" if has_p99(calls) else f"max of {calls.latency_samples}"


def p99_text(calls: Calls) -> str:
    """Return the same in a sentence: `p99 46.3 ms`, `at most 48.1 ms in 27 calls`."""
    shown = tail_ms(calls)
    return f"p99 {shown} ms" if has_p99(calls) else f"at most {shown} ms in {calls.latency_samples} calls"


def seconds(value_s: float | None) -> str:
    return NONE if value_s is None else f"{significant(value_s)} s"


def gibibytes(value: float | None) -> str:
    return NONE if value is None else significant(value / 2**30)


def mebibytes(value: float | None) -> str:
    return NONE if value is None else significant(value / 2**20)


def times(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}x" if value < 1e4 else f"{value:.1e}x"


def agreement(cosine: float | None) -> str:
    """Return a cosine similarity, cut rather than rounded: 0.99996 is not 1 (but float32's 0.9999999 is)."""
    return NONE if cosine is None else f"{int((cosine + 1e-6) * 1e4) / 1e4:.4f}" if abs(cosine) < 1e4 else f"{cosine:.1e}"


def decibels(value: float | None) -> str:
    """Return an SQNR in dB; outputs that are equal have none (records say 200)."""
    return NONE if value is None else "equal" if value >= EQUAL_DB else f"{value:.1f}"


def top1(share: float | None) -> str:
    """Return a top-1 agreement in percent, cut rather than rounded: 100 is all of them."""
    return NONE if share is None else f"{int(1000 * share + 1e-6) / 10:g}"


def accuracy(value: SavedAccuracy | None) -> str:
    """Return the labelled accuracy beside fp32's: `91.4 % top-1, -0.8 points [-2.1, +0.5]`, or nothing."""
    if value is None:
        return ""
    points = f"{100 * value.difference:+.1f} points [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"
    return f"{100 * value.top1:.1f} % top-1, {points}"


def metric(found: SavedMetric) -> str:
    """Return a metric beside fp32's: `21.4, +0.12 [+0.05, +0.2] to fp32 eager's 21.3`."""
    interval = "" if found.low is None or found.high is None else f" [{found.low:+.3g}, {found.high:+.3g}]"
    return f"{found.value:.4g}, {found.difference:+.3g}{interval} to fp32 eager's {found.reference:.4g}"


def sqnr(value: float | None) -> str:
    """Return `SQNR 43.1 dB`, `SQNR -`, `outputs equal`."""
    if value is None:
        return f"SQNR {NONE}"
    return "outputs equal" if value >= EQUAL_DB else f"SQNR {decibels(value)} dB"


def signed_percent(ratio: float | None) -> str:
    """Return 1.031 as +3.1 %; from 3 on as a factor."""
    if ratio is None:
        return NONE
    return times(ratio) if ratio >= 3 else f"{100 * (ratio - 1):+z.1f} %"


def gain_short(gain: Gain | None) -> str:
    """Return a ratio with its interval: `+34.9 % [+28.1, +42.1]`, `4.31x [4.09, 4.54]`; a disturbed one is no figure."""
    if gain is None or gain.verdict == DISTURBED:
        return NONE
    if gain.low is None or gain.high is None:
        return signed_percent(gain.ratio)
    if gain.ratio >= 3:
        return f"{times(gain.ratio)} [{times(gain.low)[:-1]}, {times(gain.high)[:-1]}]"
    return f"{signed_percent(gain.ratio)} [{_percent(gain.low)}, {_percent(gain.high)}]"


def verdict_short(gain: Gain) -> str:
    """Return a verdict; the ± stays out where an interval stands beside it."""
    return gain.verdict if gain.low is None else gain.verdict.partition(" (±")[0]


def verdict_over(gain: SavedGain | None) -> str:
    """Return a gain's short verdict and what it is over: `faster than batch_8`."""
    if gain is None:
        return NONE
    verdict = verdict_short(gain)
    return f"{verdict} {'than' if verdict in {FASTER, SLOWER} else 'against'} {gain.over}"


def verdict_of(measured: Measurement) -> str:
    """Return a step's verdict over its predecessor; without one, whether it was disturbed all the same."""
    return DISTURBED if measured.gain is None and measured.disturbed else verdict_over(measured.gain)


def slower_than(gain: SavedGain) -> str:
    """Return how much slower a step is, and than what: `44 % slower than channels_last`."""
    percent = 100 * (1 - gain.ratio)
    return f"{percent:.0f} % slower than {gain.over}" if percent >= 9.95 else f"{percent:.1f} % slower than {gain.over}"


def in_pairs(both: tuple[float, float] | None) -> str:
    """Return the two throughputs that a gain compares: `15.9 over 13.6`."""
    return NONE if both is None else f"{per_second(both[0])} over {per_second(both[1])}"


def share_short(share: Mapping[str, float]) -> str:
    """Return shares as `bf16 97 %, f32 3 %`, largest first; below half a percent left out."""
    return ", ".join(f"{name} {100 * value:.0f} %" for name, value in _ranked(share)) or NONE


def lengths_short(shares: Sequence[tuple[int, float]]) -> str:
    """Return lengths of texts as `16 (50 %), 64 (30 %) and 256 (20 %) tokens`, as `1 to 300 tokens` where there are many."""
    if len(shares) > LENGTHS_SHOWN:
        return f"{shares[0][0]} to {shares[-1][0]} tokens"
    *others, last = (f"{tokens} ({100 * share:.0f} %)" for tokens, share in shares)
    return f"{', '.join(others)} and {last} tokens" if others else f"{last} tokens"


def share_percent(share: Mapping[str, float]) -> str:
    """Return shares as `bf16 97, f32 3`, for a column that says that they are percent."""
    return ", ".join(f"{name} {100 * value:.0f}" for name, value in _ranked(share)) or NONE


def significant(value: float) -> str:
    """Return three significant digits, no fewer than all before the point."""
    if value >= 1e6 or 0 < value < 0.001:
        return f"{value:.2e}"
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f}" if ratio < 1e4 else f"{100 * (ratio - 1):+.1e}"


def _ranked(share: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(((name, value) for name, value in share.items() if value >= 0.005), key=lambda item: -item[1])
