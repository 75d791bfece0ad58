"""Which weights a run measured, for every report alike: drawn at random, pretrained, or of the user's own. Pure."""

from collections.abc import Iterable

from reports.saved.record import Throughput


def weights_text(weights: str, found: str = "") -> str:
    """Return `random weights, seed 0`, `pretrained weights, of timm (timm/resnet18.a1_in1k)`; empty where a run does not tell."""
    if not weights:
        return ""
    kind, separator, rest = weights.partition(", ")
    if kind in {"random", "pretrained"}:
        text = f"{kind} weights{separator}{rest}"
    elif weights.startswith("folder "):
        text = f"weights of its folder, digest {weights.removeprefix('folder ')}"
    elif weights.startswith("those of "):
        text = f"the weights of {weights.removeprefix('those of ')}"
    else:
        text = f"weights of a file, digest {weights}"
    return f"{text} ({found})" if found else text


def weights_line(records: Iterable[Throughput]) -> str:
    """Return that of each model, alike ones together: `weights: resnet50, vit: random weights, seed 0`; empty where nothing tells."""
    models: dict[str, dict[str, None]] = {}
    for each in records:
        if text := weights_text(each.weights, each.weights_found):
            models.setdefault(text, {})[each.model] = None
    told = (f"{', '.join(names)}: {text}" for text, names in models.items())
    return f"weights: {'; '.join(told)}" if models else ""
