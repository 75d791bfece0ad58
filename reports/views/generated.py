"""Records of generated text as recipes to deploy: a recipe takes prompts and decodes, which are points of their own. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from reports.saved.record import Measurement


@dataclass(frozen=True, slots=True)
class RecipeOfText:
    """A step on a model, for so many texts at once, whatever the point."""

    model_name: str
    step: str
    texts: int


def recipe_of(measurement: Measurement) -> RecipeOfText:
    """Return which recipe a point is of."""
    return RecipeOfText(measurement.model_name, measurement.step, measurement.batch_size)


def is_prompt(measurement: Measurement) -> bool:
    """Whether the record is of prompts alone, which no folder serves."""
    return measurement.generation is not None and measurement.generation.phase == "prefill"


def prompts(measurements: Iterable[Measurement]) -> dict[RecipeOfText, Measurement]:
    """Return the longest prompt that was timed with each recipe; a disturbed one tells nothing."""
    timed = [m for m in measurements if is_prompt(m) and not m.disturbed]
    return {recipe_of(m): m for m in sorted(timed, key=lambda m: m.generation.tokens if m.generation else 0)}


def decoding(measurement: Measurement, timed: Mapping[RecipeOfText, Measurement]) -> Measurement:
    """Return a record of decode with the time to the first token of its recipe; any other as it is."""
    prompt = timed.get(recipe_of(measurement))
    if measurement.generation is None or prompt is None or prompt.generation is None:
        return measurement
    first_s = prompt.generation.time_to_first_token_s
    return replace(measurement, generation=replace(measurement.generation, time_to_first_token_s=first_s))


def usual_point(measurements: Sequence[Measurement], models: Iterable[str]) -> str:
    """Return which of the points of one model is meant where none is named: of one text where there is one, and the deepest."""
    points = {m.model: m for m in measurements}

    def rank(model: str) -> tuple[bool, int]:
        found = points[model].generation
        return points[model].batch_size == 1, found.tokens if found else 0

    return max(models, key=rank)
