"""Write the JSON Schema of a saved run anew from its types: `python -m reports.saved`."""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from reports.saved.record import HISTORY, RECORD_VERSION, Measurement, SavedFile

PAGE = Path(__file__).resolve().parents[2] / "docs" / "record.schema.json"


def written() -> str:
    """Return the schema of a saved run, one field a line."""
    [schema], types = msgspec.json.schema_components([SavedFile[Measurement]], ref_template="#/$defs/{name}")
    types = {name.removesuffix("_Measurement_"): each for name, each in types.items()}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A saved run, record version {RECORD_VERSION}",
        "$comment": "; ".join(f"{version}: {change}" for version, change in HISTORY.items()),
        **schema,
    }
    lines = [f"{_line(name)}: {_line(value)}," for name, value in head.items()]
    bodies = ",\n".join(f"{_line(name)}: {_type(each)}" for name, each in types.items())
    return "\n".join(["{", *lines, '"$defs": {', bodies, "}", "}", ""]).replace("_Measurement_", "")


def _type(schema: dict[str, Any]) -> str:
    """Return a type with a line for each of its fields; its description without the indentation that Python had before 3.13."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    fields = schema.pop("properties", None)
    if fields is None:
        return _line(schema)
    lines = ",\n".join(f"  {_line(name)}: {_line(value)}" for name, value in fields.items())
    return f'{_line(schema)[:-1]}, "properties": {{\n{lines}\n}}}}'


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    PAGE.write_text(written())
