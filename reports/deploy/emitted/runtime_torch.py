# SPDX-License-Identifier: Apache-2.0
"""PyTorch, as it was measured: eager, compiled by Inductor, or an int8 graph compiled by Inductor."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memory import Block
from onednn import precision_share
from own_folder import leave_a_temporary_folder_that_is_taken_apart, make_own
from tensors import allocate, block_of, blocks_of, keeping_the_largest, large_product

HALVES = {"bf16_weights": torch.bfloat16, "fp16_weights": torch.float16}


class Session:
    """The module, compiled where the recipe says so: the first inference then takes as long as the compiler."""

    asynchronous = False
    requests = 1
    allocate, large_product = staticmethod(allocate), staticmethod(large_product)

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        self._transforms = set(deployment["transforms"])
        if deployment["runtime"] == "inductor":
            keep_compiled_code_apart()
        torch.set_num_threads(deployment["threads"])
        if "flush_denormals" in self._transforms:
            torch.set_flush_denormal(True)  # before there are other threads, which take the mode over
        self._half = next((dtype for word, dtype in HALVES.items() if word in self._transforms), None)
        module = _quantized(artifact) if "pt2e_int8" in self._transforms else self._with_weights(artifact, deployment["architecture"])
        self._module = module
        self._largest: list[torch.Tensor] = []
        self._function: Any = module
        if deployment["runtime"] == "inductor":
            config = inductor_options()
            config.freezing = bool(self._transforms & {"freezing", "pt2e_int8"})
            config.max_autotune = "max_autotune" in self._transforms
            self._function = torch.compile(module, dynamic=False)
        elif "bf16_autocast" in self._transforms:
            # Autocast casts each weight once for as long as its outermost context is open, of those that require grad.
            for parameter in module.parameters():
                parameter.requires_grad_(parameter.is_floating_point())
            self._autocast().__enter__()

    def _with_weights(self, artifact: Path, described: Any) -> torch.nn.Module:
        from architecture import create

        module: torch.nn.Module = create(described).eval().requires_grad_(False)
        load_weights(module, artifact / "weights.safetensors")
        placed: torch.nn.Module = self._in_layout(module)
        return placed if self._half is None else placed.to(self._half)

    def _in_layout(self, value: Any) -> Any:
        return value.to(memory_format=torch.channels_last) if "channels_last" in self._transforms else value

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", dtype=torch.bfloat16) if "bf16_autocast" in self._transforms else nullcontext()

    def place(self, inputs: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
        tensors = [torch.from_numpy(array) for array in inputs]
        return tuple(self._in_layout(tensor) if tensor.dim() == 4 else tensor for tensor in tensors)

    def run(self, placed: tuple[torch.Tensor, ...]) -> np.ndarray:
        with torch.no_grad(), self._autocast():
            inputs = placed if self._half is None else tuple(each.to(self._half) for each in placed)
            output: np.ndarray = next(tensors_of(self._function(*inputs))).float().numpy()
        return output

    def facts(self, placed: tuple[torch.Tensor, ...]) -> dict[str, Any]:
        """Return what is in force, the kernels by oneDNN's own report of one inference; layers are seen where nothing was compiled."""
        with keeping_the_largest(self._module if self._function is self._module else None, self._largest):
            return {"settings": {}, "precision_share": precision_share(lambda: self.run(placed))}

    def weights(self) -> list[Block]:
        blocks: list[Block] = blocks_of(self._module)
        return blocks

    def largest_activation(self) -> Block | None:
        return block_of(self._largest.pop()) if self._largest else None


def load_weights(module: torch.nn.Module, file: Path) -> None:
    """Load all weights of the module from a file, which has those that are one tensor under several names once. Raises ValueError.

    Tensors may be views of others, which safetensors' own loader does not take.
    """
    from safetensors.torch import load_file

    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if any(not stride and size > 1 for size, stride in zip(buffer.shape, buffer.stride(), strict=True)):
                part._buffers[name] = buffer.contiguous()  # an expanded one cannot be written to
    state, own = load_file(file), module.state_dict()
    given = {own[name].data_ptr() for name in state if name in own}
    found = module.load_state_dict(state, strict=False)
    if others := [name for name in found.missing_keys if own[name].data_ptr() not in given] + found.unexpected_keys:
        raise ValueError(f"{file.name} is not of this model: {', '.join(others[:4])} are in one of them only; emit the folder again")


def tensors_of(output: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of a model's output, those of dicts and tuples in their order; the first is what is compared and served."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, (dict, tuple, list)):
        for each in output.values() if isinstance(output, dict) else output:
            yield from tensors_of(each)


def keep_compiled_code_apart() -> None:
    """See that Inductor's folder, where nobody named another one, is this user's alone: its name can be told, and code is loaded from it.

    Comes before Dynamo is imported, which names the usual folder itself. Raises RuntimeError where another user made it first, or where the
    path of the temporary folder would be taken apart and there is no other.
    """
    leave_a_temporary_folder_that_is_taken_apart()
    if "TORCHINDUCTOR_CACHE_DIR" in os.environ:
        return
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    folder = os.environ["TORCHINDUCTOR_CACHE_DIR"] = default_cache_dir()  # named to its compiling processes, too
    make_own(Path(folder))


def inductor_options() -> Any:
    """Return Inductor's options, with what no recipe names as it was when the recipe was measured."""
    from torch._inductor import config

    # nn.TransformerEncoderLayer's and nn.MultiheadAttention's one operator for a whole layer hides its products from Inductor.
    torch.backends.mha.set_fastpath_enabled(False)
    if torch.backends.cpu.get_cpu_capability().startswith("SVE"):
        config.cpp_cache_precompile_headers = False  # GCC 14 crashes on SVE intrinsics that come from a precompiled header
    return config


def _quantized(artifact: Path) -> torch.nn.Module:
    import_module("torch.ao.quantization.fx._decomposed")  # registers the operators of the quantized graph
    module: torch.nn.Module = torch.export.load(artifact / "model.pt2").module()
    return module
