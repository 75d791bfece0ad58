# SPDX-License-Identifier: Apache-2.0
"""torchvision, also where its compiled operators belong to another build of torch than the installed one."""

import sys
from typing import Any

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_keep_alive: list[Any] = []


def import_torchvision() -> None:
    """Import torchvision; classification models need of its compiled operators no more than the schemas."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        _keep_alive.append(library)
        import torchvision  # noqa: F401
