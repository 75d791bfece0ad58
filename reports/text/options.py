"""Options that pytest, the commands and the gate share: declared once, and checked where they are typed."""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from reports.text.durations import LONGEST_S, seconds_of
from reports.text.image_shape import RGB, USUAL, ImageShape, size_of
from reports.text.metric_limit import FORM, metric_limit_of
from reports.text.plain_text import plain

T = TypeVar("T")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # what a command adds itself to

OF_IMAGES = ("--image-size", "--image-channels")
MODELS = (
    "resnet50, vit, torchvision:NAME, timm:NAME, transformers:ARCH, transformers:ORG/NAME, my_package.models:create or "
    "path/to/file.py:create"
)


def typed(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return a function that reads a text as the type of an option: its ValueError is what the option is refused with."""

    def checked(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(plain(error)) from error

    return checked


image_size = typed(size_of)
metric_limit = typed(metric_limit_of)
time_s = typed(seconds_of)


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {plain(text)!r}")
    return int(text)


def number(expected: str, holds: Callable[[float], bool]) -> Callable[[str], float]:
    """Return a function that reads a number of which `holds`; any other is refused, with what was `expected`."""

    def checked(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not holds(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {plain(text)!r}")
        return value

    return checked


above_zero = number("a number above 0", lambda value: 0 < value < math.inf)


def above_zero_up_to(most: float) -> Callable[[str], float]:
    """Return a function that reads a number above 0, and refuses one that is larger than anybody means: sums of such have no end."""

    def checked(text: str) -> float:
        value = above_zero(text)
        if value > most:
            raise argparse.ArgumentTypeError(f"expected at most {most:.0f}, found {plain(text)!r}")
        return value

    return checked


cosine = number("a cosine similarity above 0, at most 1", lambda value: 0 < value <= 1)
points = number("points from 0 to 100", lambda value: 0 <= value <= 100)


_SHARED: Mapping[str, Mapping[str, Any]] = {
    "--model": {
        "action": "append",
        "metavar": "NAME",
        "help": f"model, repeatable: {MODELS}; see docs/models.md (default: resnet50 and vit)",
    },
    "--image-size": {
        "type": image_size,
        "default": USUAL,
        "metavar": "HEIGHT[xWIDTH]",
        "help": "pixels of the images: 224 for squares; 240x320 is lower than wide, the height first as PyTorch has it",
    },
    "--image-channels": {"type": positive, "default": RGB, "metavar": "N", "help": "channels of the images"},
    "--sequence-length": {
        "type": positive,
        "default": 128,
        "metavar": "TOKENS",
        "help": "tokens in each text, for models that take tokens",
    },
    "--batch-size": {"type": positive, "default": 8, "metavar": "N", "help": "samples a call after the batch sweep"},
    "--threads": {
        "type": positive,
        "default": None,
        "metavar": "N",
        "help": "threads to compute with (default: the cores this process may use, within its CPU quota)",
    },
    "--weights": {
        "metavar": "FILE[::KEY]",
        "help": "weights for a single --model: safetensors (one file, or a folder of shards with their index) or a weights-only "
        "checkpoint; KEY where it holds several that fit (default: random)",
    },
    "--pretrained": {
        "action": "store_true",
        "help": "take the weights that torchvision, timm or the Hugging Face hub offer for the model, from their caches or the network "
        "(default: random)",
    },
    "--int8-images": {"type": Path, "metavar": "DIR", "help": "folder of images to calibrate INT8 with (default: random images)"},
    "--int8-texts": {
        "type": Path,
        "metavar": "FILE",
        "help": "text to calibrate INT8 of language models with, of which 300 pieces are taken (default: random tokens)",
    },
    "--accuracy": {
        "type": Path,
        "metavar": "DIR",
        "help": "labelled pictures, a folder for each class or a .csv of FILE,CLASS: each step says how many it gets right beside "
        "fp32 eager; or a text in a .txt, for the perplexity of a causal language model (default: none)",
    },
    "--accuracy-pictures": {
        "type": positive,
        "default": 256,
        "metavar": "N",
        "help": "most pictures to classify, of each class in turn; or pieces of a text to read",
    },
    "--preprocess": {
        "metavar": "MEAN,STD,SIZE",
        "help": "how the pictures of --accuracy and --int8-images become inputs: 0.5,0.5,256, or three means and deviations joined by "
        "colons; SIZE is their shorter side before the crop (default: as the model's library says, else ImageNet's)",
    },
    "--evaluate": {
        "metavar": "FILE.py:FUNCTION",
        "help": "metric of your own: a function of outputs and labels that returns a number, of each step beside fp32 eager; the labels "
        "are those of --accuracy, or those that a factory returns third (default: none)",
    },
    "--max-accuracy-loss": {
        "type": points,
        "metavar": "POINTS",
        "help": "most points of top-1 to lose against fp32 eager on the pictures of --accuracy: 0.5 is half a per cent of them "
        "(default: no limit)",
    },
    "--metric-limit": {
        "type": metric_limit,
        "action": "append",
        "metavar": "NAME=CHANGE",
        "help": f"farthest that a metric of --evaluate, or the perplexity of a text, may go for the worse, repeatable: "
        f"{FORM.replace('%', '%%')} (default: no limit)",
    },
    "--artifact-cache": {
        "type": Path,
        "default": Path(".cache/artifacts"),
        "metavar": "DIR",
        "help": "folder of exported, compiled and quantized models",
    },
    "--worker-timeout": {
        "type": above_zero_up_to(LONGEST_S),
        "default": 900,
        "metavar": "SECONDS",
        "help": "longest wait for one answer of a worker",
    },
}


def shared(name: str) -> dict[str, Any]:
    """Return the settings of an option, as argparse and pytest take them; its help tells its usual value."""
    settings = dict(_SHARED[name])
    if settings.get("default") is not None:
        settings["help"] = f"{settings['help']} (default: {settings['default']})"
    return settings


def image_of(options: argparse.Namespace) -> ImageShape:
    """Return the shape of the images that the options ask for."""
    asked: ImageShape = options.image_size
    return asked.with_channels(options.image_channels)


def usual(name: str) -> Any:
    """Return an option's value where nobody names one."""
    return _SHARED[name]["default"]
