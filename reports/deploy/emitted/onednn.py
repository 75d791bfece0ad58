# SPDX-License-Identifier: Apache-2.0
"""Which precision oneDNN's kernels compute in, by what it prints about them (its developer guide, "Verbose mode")."""

import ctypes
import os
import re
import tempfile
from collections.abc import Callable
from typing import Any

import torch

EXECUTIONS = 1
PRODUCTS = {"convolution", "inner_product", "matmul"}


def precision_share(infer: Callable[[], Any]) -> dict[str, float]:
    """Return the share of each precision in the time of convolutions and products during one inference."""
    with torch.backends.mkldnn.verbose(EXECUTIONS):
        text = _printed(infer)
    time_of: dict[str, float] = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) < 12 or fields[0] != "onednn_verbose" or fields[2:4] != ["primitive", "exec"] or fields[5] not in PRODUCTS:
            continue
        precision = _precision(fields[6], fields[8], fields[9])
        time_of[precision] = time_of.get(precision, 0.0) + float(fields[-1])
    total = sum(time_of.values()) or 1.0
    return {name: value / total for name, value in time_of.items()}


def _precision(implementation: str, formats: str, attributes: str) -> str:
    types = dict(re.findall(r"\b(src|wei)(?:_\d+)?:(\w+)", formats))
    source, weights = types.get("src", "f32"), types.get("wei", "f32")
    if source in {"u8", "s8"}:
        return "int8"
    if "bf16" in (source, weights):
        return "bf16"
    if "f16" in (source, weights):
        return "f16"
    lowered = "attr-fpmath:bf16" in attributes and ("acl" in implementation or "bf16" in implementation)
    return "bf16" if lowered else "f32"


def _printed(function: Callable[[], Any]) -> str:
    """Return what C code of this process prints on stdout while `function` runs."""
    libc = ctypes.CDLL(None)
    libc.fflush(None)
    saved = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            function()
        finally:
            libc.fflush(None)
            os.dup2(saved, 1)
            os.close(saved)
        file.seek(0)
        return file.read().decode(errors="replace")
