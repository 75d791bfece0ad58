# SPDX-License-Identifier: Apache-2.0
"""Which precision the kernels of oneDNN and oneMKL compute in, by what they print, read as it was when the recipe was measured."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from reported_kernels import c_stdout, parse_mkl, parse_onednn
from reported_kernels import precision_share as share_of

EXECUTIONS = 1


def precision_share(infer: Callable[[], Any]) -> dict[str, float]:
    """Return the share of each precision in the time of convolutions, products and recurrent layers in one inference."""
    mkl = torch.backends.mkl
    of_mkl = mkl.verbose(mkl.VERBOSE_ON) if mkl.is_available() else nullcontext()
    with c_stdout() as text, torch.backends.mkldnn.verbose(EXECUTIONS), of_mkl:
        infer()
    found: dict[str, float] = share_of(kernel for kernel in parse_onednn(text[0]) + parse_mkl(text[0]) if kernel.is_heavy)
    return found
