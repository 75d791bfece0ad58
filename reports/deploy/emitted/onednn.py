# SPDX-License-Identifier: Apache-2.0
"""Which precision the kernels of oneDNN and oneMKL compute in, by what they print (oneDNN's developer guide, "Verbose mode")."""

import ctypes
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

EXECUTIONS = 1
PRODUCTS = {"convolution", "inner_product", "matmul", "rnn"}
MKL_PRODUCT = re.compile(
    r"^MKL_VERBOSE (?P<name>\w*GEMM\w*)\(.*\) (?P<time>[\d.]+)(?P<unit>ns|us|ms|s) .*TID:0\b"
)  # one thread's wall time
MKL_PRECISIONS = {"BF16": "bf16", "F16": "f16", "S8": "int8", "U8": "int8"}
MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


def precision_share(infer: Callable[[], Any]) -> dict[str, float]:
    """Return the share of each precision in the time of convolutions, products and recurrent layers in one inference."""
    mkl = torch.backends.mkl
    with torch.backends.mkldnn.verbose(EXECUTIONS), mkl.verbose(mkl.VERBOSE_ON) if mkl.is_available() else nullcontext():
        text = _printed(infer)
    time_of: dict[str, float] = {}
    for line in text.splitlines():
        if call := MKL_PRODUCT.match(line):
            precision = next((name for mark, name in MKL_PRECISIONS.items() if mark in call["name"]), "f32")
            time_of[precision] = time_of.get(precision, 0.0) + float(call["time"]) * MS[call["unit"]]
        fields = line.split(",")
        if len(fields) < 12 or fields[0] != "onednn_verbose" or fields[2:4] != ["primitive", "exec"] or fields[5] not in PRODUCTS:
            continue
        precision = _precision(fields[6], fields[8], fields[9])
        time_of[precision] = time_of.get(precision, 0.0) + float(fields[-1])
    total = sum(time_of.values()) or 1.0
    return {name: value / total for name, value in time_of.items()}


def _precision(implementation: str, formats: str, attributes: str) -> str:
    types = dict(re.findall(r"\b(src|wei)(?:_(?:\d+|layer))?:(\w+)", formats))
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
