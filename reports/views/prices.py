"""What machines cost: a dated table of on-demand prices, and a user's own table in its place. The only reader of price files."""

import datetime
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from reports.saved.record import PositiveFigure
from reports.text.refusal import Refusal

DEFAULT_REGION = "us-east-1"
LARGEST_FILE_BYTES = 4 * 2**20
LISTED = 8

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class PriceError(Refusal):
    """There is no price; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What one hour of a whole instance costs, who says so, and when."""

    instance: Name
    price_per_hour: PositiveFigure
    currency: Annotated[str, Meta(max_length=10)] = "USD"
    region: Annotated[str, Meta(max_length=100)] = ""
    date: datetime.date | None = None
    source: Annotated[str, Meta(max_length=2000)] = ""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by instance and region."""

    prices: tuple[Price, ...]

    def find(self, instance: str, region: str) -> Price:
        """Return the price of `instance` in `region`, or of a row that names no region. Raises PriceError."""
        rows = [price for price in self.prices if price.instance == instance]
        for price in rows:
            if price.region in (region, ""):
                return price
        if rows:
            there = ", ".join(sorted({price.region for price in rows})[:LISTED])
            raise PriceError(
                f"no price of {instance} in region {region}, only in {there}: name one with --region, give --price PER_HOUR, or a row "
                "of your own with --prices FILE"
            )
        family = sorted({price.instance for price in self.prices if price.instance.partition(".")[0] == instance.partition(".")[0]})
        known = family or sorted({price.instance.partition(".")[0] + ".*" for price in self.prices})
        raise PriceError(
            f"no price of {instance!r}: the table has {', '.join(known[:40]) or 'no row'}; give --price PER_HOUR, or a row of your own "
            "with --prices FILE (docs/peak-and-cost.md#prices)"
        )


def price_table(own: Path | None = None) -> PriceTable:
    """Return the built-in table; the rows of the file `own` come first. Raises PriceError."""
    built_in = _decode(files("reports.views").joinpath("prices.json").read_bytes(), "prices.json")
    return PriceTable((*(_read(own) if own is not None else ()), *built_in))


class _File(msgspec.Struct):
    prices: list[Price]


_DECODER = msgspec.json.Decoder(_File)


def _read(path: Path) -> tuple[Price, ...]:
    try:
        if path.exists() and not path.is_file():
            raise PriceError(f"--prices {str(path)!r}: not a file; name a JSON file as docs/peak-and-cost.md#prices shows it")
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise PriceError(
                f"--prices {str(path)!r}: {path.stat().st_size} bytes; a table of prices has at most {LARGEST_FILE_BYTES}: "
                "name another file"
            )
        return _decode(path.read_bytes(), f"--prices {str(path)!r}")
    except OSError as error:
        raise PriceError(
            f"--prices {str(path)!r}: {error.strerror or error}; name a JSON file as docs/peak-and-cost.md#prices shows it"
        ) from error


def _decode(data: bytes, name: str) -> tuple[Price, ...]:
    try:
        prices = _DECODER.decode(data).prices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PriceError(f"{name}: not a table of prices: {error}; write it as docs/peak-and-cost.md#prices shows") from error
    rows = Counter((price.instance, price.region) for price in prices)
    for (instance, region), count in rows.items():
        if count > 1:
            raise PriceError(f"{name}: two prices of {instance!r} in {region or 'no region'!r}: keep one")
    return tuple(prices)
