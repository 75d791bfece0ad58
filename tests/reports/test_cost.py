"""Costs against figures computed by hand; price tables of unknown origin."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.saved.load import read_run
from reports.saved.record import Measurement, Run
from reports.views.cost import RunCost, cost_per_million, machine_costs, price_of, run_cost
from reports.views.prices import DEFAULT_REGION, PriceError, price_table
from reports.views.tables.cost import cost_tables
from tests.reports.saved_runs import FINGERPRINT, benchmark, save, saved_run

GRAVITON3 = FINGERPRINT | {"instance_type": "c7g.xlarge", "cpu_model": "Neoverse V1"}
NO_INSTANCE = FINGERPRINT | {"instance_type": ""}


def saved(storage: Path, *benchmarks: dict[str, Any], number: int = 1, **top_level: Any) -> Run[Measurement]:
    return read_run(save(storage, number, saved_run(benchmarks, **top_level)))


def priced(run: Run[Measurement]) -> RunCost:
    return run_cost(run, price_of(run, price_table(), region=DEFAULT_REGION))


def own(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"prices": list(rows)}))
    return file


def test_a_million_at_100_a_second_takes_10000_seconds() -> None:
    """At 0.36 an hour, which is 0.0001 a second, that is 1."""
    assert 1.0 == pytest.approx(cost_per_million(0.36, 100.0))


def test_every_step_has_its_cost_and_the_cheapest_stands_out(tmp_path: Path) -> None:
    """8 samples in 0.1 s are 80 a second: 12500 s a million; c8g.xlarge at 0.15952 an hour makes 0.5539."""
    run = saved(tmp_path, benchmark(medians_s=(0.1,) * 3), benchmark("int8", medians_s=(0.05,) * 3), benchmark(model="vit"))
    cost = priced(run)
    [table] = cost_tables([cost], machine_costs([cost]))

    assert ("c8g.xlarge", 0.15952) == (cost.price.instance, cost.price.price_per_hour)
    assert [0.5539, 0.2769, 0.5539] == pytest.approx([step.cost_per_million for step in cost.steps], abs=1e-4)
    assert ("int8", "baseline") == (cost.cheapest("resnet50").step, cost.cheapest("vit").step)
    assert frozenset([1, 2]) == table.marked
    assert "us-east-1 on 2026-02-09, source: https" in str(table.remarks[0])


def test_a_disturbed_step_is_not_the_cheapest(tmp_path: Path) -> None:
    """Its figure is none; where all were disturbed there is no better one."""
    run = saved(tmp_path, benchmark(), benchmark("int8", medians_s=(0.05,) * 3, disturbed=True), benchmark(model="vit", disturbed=True))
    cost = priced(run)

    assert ("baseline", "baseline") == (cost.cheapest("resnet50").step, cost.cheapest("vit").step)
    assert any("int8, baseline were disturbed" in remark for remark in cost.remarks)


def test_on_a_machine_what_others_disturbed_or_training_is_the_cheapest_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    """Over all runs of the machine, as within one; and a machine where all was disturbed is not the cheapest."""
    runs = [
        saved(tmp_path, benchmark(medians_s=(0.1,) * 3), number=1),
        saved(tmp_path, benchmark(medians_s=(0.09,) * 3, disturbed=True), number=2),
        saved(tmp_path, benchmark("train_baseline", medians_s=(0.01,) * 3, family="cpu_training"), number=3),
        saved(tmp_path, benchmark(medians_s=(0.05,) * 3, disturbed=True), number=4, fingerprint=GRAVITON3),
    ]
    costs = [priced(run) for run in runs]

    for ordered in (costs, costs[::-1]):
        assert ["0001", "0004"] == [each.run for each in machine_costs(ordered)]


def test_runs_that_do_not_tell_their_machine_are_not_of_one(tmp_path: Path) -> None:
    """Each may be of another, so that neither hides the other."""
    table = price_table()
    runs = [saved(tmp_path, benchmark(medians_s=(s,) * 3), number=number, fingerprint={}) for number, s in ((1, 0.1), (2, 0.2))]
    costs = [run_cost(run, price_of(run, table, region=DEFAULT_REGION, instance="c7g.xlarge")) for run in runs]

    assert ["0001", "0002"] == [each.run for each in machine_costs(costs)]


def test_the_interval_is_that_of_the_throughput(tmp_path: Path) -> None:
    """The faster end of the throughput is the cheaper end of the cost; one process has no interval."""
    run = saved(tmp_path, benchmark(over="x", medians_s=(0.1, 0.102, 0.098), over_medians_s=(0.2, 0.2, 0.2)), benchmark("one"))
    paired, single = priced(run).steps

    assert paired.interval is not None
    assert paired.interval[0] < paired.cost_per_million < paired.interval[1]
    assert single.interval is None


def test_machines_are_compared_by_their_cheapest_step(tmp_path: Path) -> None:
    """The cheaper one of two runs on a machine counts; machines are listed from the cheapest."""
    runs = [
        saved(tmp_path, benchmark(medians_s=(0.1,) * 3), number=1),
        saved(tmp_path, benchmark(medians_s=(0.08,) * 3), number=2),
        saved(tmp_path, benchmark(medians_s=(0.05,) * 3), number=3, fingerprint=GRAVITON3),
    ]
    costs = [priced(run) for run in runs]
    found = machine_costs(costs)

    assert [("c7g.xlarge", "0003"), ("c8g.xlarge", "0002")] == [(each.price.instance, each.run) for each in found]
    assert "cheapest step by machine" == cost_tables(costs, found)[-1].title


def test_a_run_that_is_named_twice_is_priced_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path, benchmark())

    assert 0 == main(["cost", "1", "latest", "--format", "csv", "--storage", str(tmp_path)])
    assert 2 == len(capsys.readouterr().out.splitlines()), "the heading and one step"


def test_one_price_is_none_for_several_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, vcpus in ((1, 4), (2, 8)):
        saved(tmp_path, benchmark(), number=number, fingerprint=FINGERPRINT | {"vcpus": vcpus})

    assert 2 == main(["cost", "1", "2", "--price", "1", "--storage", str(tmp_path)])
    assert "several machines (c8g.xlarge, Neoverse-V2, 4 vCPUs; c8g.xlarge, Neoverse-V2, 8 vCPUs)" in capsys.readouterr().err


def test_unused_vcpus_are_paid_for_and_said(tmp_path: Path) -> None:
    run = saved(tmp_path, benchmark(threads=2, workers=1))

    assert ("run 0001 computed with 2 of 4 vCPUs; the whole machine is paid for",) == priced(run).remarks


@pytest.mark.parametrize(
    ("fingerprint", "asked", "reason"),
    [
        (NO_INSTANCE, {}, "names no instance type, so it has no price: give --price PER_HOUR, or the type .* --instance"),
        (FINGERPRINT | {"instance_type": "c9g.xlarge"}, {}, r"no price of 'c9g.xlarge': the table has .*c8g\.\*.*--prices FILE"),
        (FINGERPRINT | {"instance_type": "c8g.96xlarge"}, {}, r"the table has .*c8g\.16xlarge"),
        (FINGERPRINT, {"region": "eu-west-1"}, "no price of c8g.xlarge in region eu-west-1, only in us-east-1"),
        (FINGERPRINT, {"instance": "c7g.xlarge"}, "was measured on c8g.xlarge; leave --instance out"),
    ],
)
def test_a_machine_without_a_price_is_an_error_with_the_next_action(
    tmp_path: Path, fingerprint: dict[str, Any], asked: dict[str, Any], reason: str
) -> None:
    run = saved(tmp_path, benchmark(), fingerprint=fingerprint)

    with pytest.raises(PriceError, match=reason):
        price_of(run, price_table(), **{"region": DEFAULT_REGION, **asked})


def test_a_comparable_instance_and_a_given_price(tmp_path: Path) -> None:
    run = saved(tmp_path, benchmark(), fingerprint=NO_INSTANCE)

    assert 0.15952 == (comparable := price_of(run, price_table(), region=DEFAULT_REGION, instance="c8g.xlarge")).price_per_hour
    assert "its price stands in for Neoverse-V2, 4 vCPUs" in run_cost(run, comparable).remarks[0]
    assert (0.36, "") == ((given := price_of(run, price_table(), region="", per_hour=0.36)).price_per_hour, given.currency)
    assert () == run_cost(run, given).remarks


def test_the_built_in_table_is_dated_and_sourced() -> None:
    """Every row says region, date and source, and an instance twice as large costs twice as much."""
    table = price_table()

    assert all(price.region and price.date and price.source.startswith("https://") for price in table.prices)
    for family in {price.instance.partition(".")[0] for price in table.prices}:
        sizes = [table.find(f"{family}.{size}", DEFAULT_REGION).price_per_hour for size in ("large", "xlarge", "2xlarge", "4xlarge")]
        assert [sizes[0] * 2**place for place in range(4)] == pytest.approx(sizes, rel=1e-3)


def test_own_prices_come_before_the_built_in_ones(tmp_path: Path) -> None:
    here = {"instance": "c8g.xlarge", "price_per_hour": 0.05, "region": DEFAULT_REGION}
    table = price_table(own(tmp_path, here, {"instance": "box", "price_per_hour": 1}))

    assert 0.05 == table.find("c8g.xlarge", DEFAULT_REGION).price_per_hour
    assert 1.0 == table.find("box", "anywhere").price_per_hour
    assert 0.145 == table.find("c7g.xlarge", DEFAULT_REGION).price_per_hour


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"prices": {}}',
        '{"prices": [{"instance": "a"}]}',
        '{"prices": [{"instance": "a", "price_per_hour": 0}]}',
        '{"prices": [{"instance": "a", "price_per_hour": -1}]}',
        '{"prices": [{"instance": "a", "price_per_hour": 1e300}]}',
        '{"prices": [{"instance": "a", "price_per_hour": "1"}]}',
        '{"prices": [{"instance": "", "price_per_hour": 1}]}',
        '{"prices": [{"instance": "a", "price_per_hour": 1, "date": "soon"}]}',
        '{"prices": [{"instance": "a", "price_per_hour": NaN}]}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_what_is_no_table_of_prices_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.json"
    file.write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(PriceError, match="not a table of prices"):
        price_table(file)


def test_other_bad_price_files_are_refused(tmp_path: Path) -> None:
    row = {"instance": "a", "price_per_hour": 1}
    with pytest.raises(PriceError, match="two prices of 'a'"):
        price_table(own(tmp_path, row, row))
    with pytest.raises(PriceError, match=r"prices\.json.*No such file"):
        price_table(tmp_path / "none" / "prices.json")
    for name in (tmp_path, Path("/dev/zero")):  # reading it would take all memory
        with pytest.raises(PriceError, match=f"'{name}': not a file; name a JSON file"):
            price_table(name)
    (tmp_path / "large.json").write_bytes(b" " * (4 * 2**20 + 1))
    with pytest.raises(PriceError, match="at most"):
        price_table(tmp_path / "large.json")
