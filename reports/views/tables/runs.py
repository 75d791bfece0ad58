"""Saved runs as tables: all of a storage in a row each, or one of them whole. Computes nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from reports.saved.machines import flat
from reports.saved.record import KernelTime, Measurement, Outcome, Run, SavedGeneration, SavedPair, Throughput
from reports.statistics.latency import has_p99
from reports.text.durations import duration
from reports.text.figures import (
    accuracy,
    agreement,
    gain_short,
    gibibytes,
    lengths_short,
    mebibytes,
    metric,
    milliseconds,
    p99_text,
    per_second,
    seconds,
    share_short,
    sqnr,
    top1,
    verdict_over,
)
from reports.views.tables import REMARK, STYLES, WARNING, Cell, Column, Line, Table
from reports.views.weights import weights_text

KERNELS_SHOWN = 5
_COLUMNS = (
    Column("run", "run", is_number=False, longest=40),
    Column("saved at (UTC)", "saved_at", is_number=False),
    Column("commit", "commit", is_number=False, longest=12),
    Column("branch", "branch", is_number=False, longest=24),
    Column("steps", "steps", is_number=False),
    Column("models", "models", is_number=False, longest=40),
    Column("machine", "machine", is_number=False, longest=60),
)
_FACTS = (
    Column("", "fact", is_number=False, longest=40),
    Column("", "value", is_number=False, folds=True, longest=600),
)


def runs_table(runs: Sequence[Run[Throughput]]) -> Table:
    """Return a row for each run, oldest first: number, time, commit, machine, models and how its steps ended."""
    return Table(columns=_COLUMNS, rows=tuple(tuple(map(Cell, _row(run))) for run in runs))


def run_tables(run: Run[Measurement]) -> tuple[Table, ...]:
    """Return a run whole: where it comes from, the machine, and of every step figures, evidence and kernels, or why there are none."""
    dirty = " with uncommitted changes" if run.commit.dirty else ""
    before = [
        Line(f" {run.path}", lead=f"run {run.name}"),
        Line(f"saved {run.saved_at:%Y-%m-%d %H:%M:%S %Z}, commit {run.commit.id} ({run.commit.branch}){dirty}"),
    ]
    if run.earlier_pairs:
        before.append(Line(f"{run.earlier_pairs} pairs of earlier runs told how far pairs of this machine spread, too"))
    if run.budget_s is not None:
        before.append(Line(f"further pairs within --budget {duration(run.budget_s)}"))
    before += [Line(f"note: {note}", WARNING) for note in run.notes]
    measured = {(m.model, m.step): m for m in run.measurements}
    told = {(o.model, o.step): o for o in run.outcomes}
    return (
        Table(before=tuple(before)),
        _facts_table(f"machine: {run.machine}", flat(run.fingerprint).items()),
        *(
            _facts_table(" ".join(key), _facts(measured[key]), *key) if key in measured else _not_measured(told[key])
            for key in dict.fromkeys((*told, *measured))
        ),
    )


def _row(run: Run[Throughput]) -> tuple[str, ...]:
    ended = Counter(outcome.outcome for outcome in run.outcomes if outcome.outcome != "measured")
    steps = ", ".join(f"{count} {name}" for name, count in (("measured", len(run.measurements)), *ended.items()))
    models = ", ".join(dict.fromkeys(measurement.model for measurement in run.measurements))
    saved_at = f"{run.saved_at:%Y-%m-%d %H:%M}"
    return run.name, saved_at, run.commit.short, run.commit.branch, steps, models, run.machine


def _facts_table(title: str, facts: Iterable[tuple[str, object]], model: str = "", step: str = "") -> Table:
    told = [(name, str(value)) for name, value in facts]
    return Table(
        title=title,
        columns=_FACTS,
        rows=tuple((Cell(name, style=REMARK), Cell(value)) for name, value in told),
        data=tuple(_data(model, step, name, value) for name, value in told),
    )


def _data(model: str, step: str, fact: str, value: str) -> dict[str, object]:
    """Return a row of CSV; facts of the machine have neither model nor step."""
    return {"model": model, "step": step, "fact": fact, "value": value}


def _facts(m: Measurement) -> Iterator[tuple[str, str]]:
    workers = f", {m.workers} workers" if m.workers > 1 else ""
    yield "throughput", f"{per_second(m.samples_per_second)} SPS, batch {m.batch_size}{workers}{_tokens(m)}"
    yield "gain", f"{gain_short(m.gain)} {verdict_over(m.gain)}" if m.gain else "none: builds on nothing"
    yield (
        "latency",
        f"p50 {milliseconds(m.latency_p50_s)} ms, p90 {milliseconds(m.latency_p90_s)} ms, {p99_text(m)}{_shown(m)}",
    )
    yield from _generation(m.generation)
    yield "cost", f"cold start {seconds(m.cold_start_s)}, build {seconds(m.build_s)}, peak {gibibytes(m.peak_rss_bytes)} GiB"
    yield "outputs", _outputs(m)
    yield "inputs", ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in m.input_shapes.items()) or "not recorded"
    if weights := weights_text(m.weights, m.weights_found):
        yield "weights", weights
    yield "runtime", f"{m.runtime}, {m.precision}; of reported kernel time: {share_short(m.precision_share)}"
    if any(pair.own_rounds_s for pair in m.pairs):
        yield "turns", _turns(m.pairs)
    if m.hosts is not None:
        added = per_second(m.hosts.sum_samples_per_second)
        share = f"{m.samples_per_second / m.hosts.sum_samples_per_second:.1%}"
        barrier = f"the barrier costs {milliseconds(m.hosts.barrier_s)} ms a round"
        yield "hosts", f"{len(m.hosts.each)} add up to {added} SPS; together they reach {share} of it; {barrier}"
        for host in m.hosts.each:
            waited = f"waited {host.waited_share:.1%} of the time"
            yield "host", f"{host.name} ({host.cpu_model}): {per_second(host.samples_per_second)} SPS, {host.workers} workers, {waited}"
    for fact, variables in (("environment", m.environment), ("inherited", m.inherited_environment)):
        if variables:
            yield fact, " ".join(f"{name}={value}" for name, value in variables.items())
    if m.not_counted:
        yield "work", f"not counted: {m.not_counted}"
    if m.resumed:
        yield "resumed", "measured by an interrupted run that this one went on with"
    for step in m.left_out:
        yield "left out", f"{step}: {why}" if (why := m.left_out_reasons.get(step)) else step
    for finding in m.findings:
        yield "finding", finding
    for claim in m.evidence:
        yield "proved" if claim.holds else "NOT proved", f"{claim.claim}: {claim.observed}"
    for kernel in m.kernels[:KERNELS_SHOWN]:
        yield "kernel", _kernel(kernel)


def _tokens(m: Measurement) -> str:
    """Return the throughput in tokens, and of which texts; empty where lengths do not vary."""
    if m.lengths is None:
        return ""
    padding = f"{m.lengths.padding_share:.0%} of the computed tokens are padding"
    return f"; {per_second(m.lengths.tokens_per_second)} real tokens per second of texts of {lengths_short(m.lengths.shares)}, {padding}"


def _generation(found: SavedGeneration | None) -> Iterator[tuple[str, str]]:
    """Yield how soon a prompt was answered, or what a token reads, and the share of the machine's peaks; nothing where no text is made."""
    if found is None:
        return
    agreeing = f"; {found.tokens_agreeing} of {found.new_tokens} tokens are fp32's" if found.tokens_agreeing is not None else ""
    if found.phase == "prefill":
        share = f"; {found.share_of_peak:.0%} of the peak" if found.share_of_peak is not None else ""
        yield "prefill", f"{milliseconds(found.time_to_first_token_s)} ms to the first token after {found.tokens}{share}{agreeing}"
        return
    weights, cache = mebibytes(found.weight_bytes_per_token), mebibytes(found.cache_bytes_per_token)
    share = f", {found.share_of_bandwidth:.0%} of the bandwidth" if found.share_of_bandwidth is not None else ""
    yield "decode", f"a token with {found.tokens} in the cache reads {weights} MiB of weights and {cache} MiB of cache{share}{agreeing}"


def _shown(m: Measurement) -> str:
    """Return what the p99 is shown not to exceed, and by how many calls; empty where that is not known."""
    high = f", shown to be at most {milliseconds(m.latency_p99_high_s)} ms" if m.latency_p99_high_s is not None else ""
    return f" of {m.latency_samples} calls {m.latency_calls}".rstrip() + high if m.latency_samples is not None and has_p99(m) else ""


def _turns(pairs: Sequence[SavedPair]) -> str:
    """Return how many turns there were, whose came first, and what others took of the CPUs in those that were kept."""
    others = [share for pair in pairs for share in (*pair.own_others_share, *pair.over_others_share)]
    stolen = [share for pair in pairs for share in (*pair.own_steal_share, *pair.over_steal_share)]
    own, over = sum(len(pair.own_rounds_s) for pair in pairs), sum(len(pair.over_rounds_s) for pair in pairs)
    started_first = sum(pair.own_started_first is True for pair in pairs)
    parts = [f"{len(pairs)} pairs of fresh processes, its own started first in {started_first}", f"{own} + {over} turns"]
    if again := sum(pair.turns_again for pair in pairs):
        parts.append(f"{again} taken again")
    if others and stolen:
        parts.append(f"others took at most {max(others):.1%} of the CPUs in a turn, the hypervisor {max(stolen):.1%}")
    return ", ".join(parts)


def _outputs(m: Measurement) -> str:
    of = f" of {m.compared_samples} samples" if m.compared_samples is not None else ""
    parts = [f"{sqnr(m.sqnr_db)}{of}"]
    if m.equal_share is not None:
        parts.append(f"{100 * m.equal_share:g} % of the elements are equal")
    if m.top1_agreement is not None:
        bounds = "" if m.top1_low is None or m.top1_high is None else f" [{top1(m.top1_low)}, {top1(m.top1_high)}]"
        parts.append(f"top-1 agreement {top1(m.top1_agreement)} %{bounds}")
    if m.kl_divergence is not None:
        parts.append(f"KL divergence {m.kl_divergence:.2g}")
    if m.accuracy is not None:
        top5 = "" if m.accuracy.top5 is None else f", top-5 {top1(m.accuracy.top5)} % and {top1(m.accuracy.reference_top5)} %"
        parts.append(f"right of {m.accuracy.pictures} labelled pictures: {accuracy(m.accuracy)} to fp32 eager{top5}")
    parts += [f"{each.name} of {each.samples} samples: {metric(each)}" for each in m.metrics]
    if m.max_abs_error is not None:
        parts.append(f"largest error {m.max_abs_error:.2g}")
    return ", ".join((*parts, f"cosine {agreement(m.cosine)}, of what depends on the input {agreement(m.centred_cosine)}"))


def _kernel(kernel: KernelTime) -> str:
    time_ms = milliseconds(kernel.time_s)
    return f"{kernel.operation} {kernel.implementation} {kernel.precision}, {time_ms} ms in {kernel.count} calls"


def _not_measured(outcome: Outcome) -> Table:
    reason = outcome.reason or "no reason saved" if outcome.outcome != "measured" else "but its record is missing"
    remedy = f" -> {outcome.remedy}" if outcome.remedy else ""
    ended = Line(f": {reason}{remedy}", lead=outcome.outcome, lead_style=STYLES.get(outcome.outcome, ""))
    data = _data(outcome.model, outcome.step, outcome.outcome, f"{reason}{remedy}")
    return Table(title=f"{outcome.model} {outcome.step}", before=(ended,), data=(data,))
