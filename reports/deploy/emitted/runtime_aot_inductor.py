# SPDX-License-Identifier: Apache-2.0
"""A package that Inductor compiled ahead of time: nothing is traced or compiled in this process. It runs on the CPU it was built for."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from deployed import Untold
from onednn import precision_share
from tensors import allocate, large_product


class Session(Untold):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """The loaded package."""

    allocate, large_product = staticmethod(allocate), staticmethod(large_product)

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        self._channels_last = "channels_last" in deployment["transforms"]
        torch.set_num_threads(deployment["threads"])
        # torch._inductor.aoti_load_package wraps this loader, and imports the whole compiler to do so.
        self._package = torch._C._aoti.AOTIModelPackageLoader(str(artifact / "model.pt2"), "model", False, 1, -1)

    def place(self, inputs: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
        tensors = [torch.from_numpy(array) for array in inputs]
        return tuple(
            tensor.contiguous(memory_format=torch.channels_last) if self._channels_last and tensor.dim() == 4 else tensor
            for tensor in tensors
        )

    def run(self, placed: tuple[torch.Tensor, ...]) -> np.ndarray:
        with torch.no_grad():
            output: np.ndarray = self._package.boxed_run(list(placed))[0].float().numpy()
        return output

    def facts(self, placed: tuple[torch.Tensor, ...]) -> dict[str, Any]:
        """Return what is in force, the kernels by oneDNN's own report of one inference."""
        return {"settings": {}, "precision_share": precision_share(lambda: self.run(placed))}
