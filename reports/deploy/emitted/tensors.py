# SPDX-License-Identifier: Apache-2.0
"""Where PyTorch's tensors lie, and a product that all of its threads share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from memory import Block


def block_of(tensor: torch.Tensor) -> Block:
    """Return the memory that a tensor lies in."""
    storage = tensor.untyped_storage()
    return Block(address=storage.data_ptr(), size=storage.nbytes(), owner=tensor)


def blocks_of(module: torch.nn.Module) -> list[Block]:
    """Return the memory of the module's parameters and buffers, each piece once."""
    blocks = [block_of(tensor) for tensor in (*module.parameters(), *module.buffers()) if tensor.layout == torch.strided]
    return list({block.address: block for block in blocks if block.size}.values())


@contextmanager
def keeping_the_largest(module: torch.nn.Module | None, kept: list[torch.Tensor]) -> Iterator[None]:
    """Keep in `kept` the largest tensor that a layer of the module returns meanwhile."""

    def keep(_module: torch.nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.layout == torch.strided:
            kept[:] = [max([*kept, output], key=lambda tensor: tensor.untyped_storage().nbytes())]

    hooks = [] if module is None else [layer.register_forward_hook(keep) for layer in module.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def allocate(size: int, touched: int) -> Block:
    """Return a new tensor of `size` bytes, the first `touched` written to."""
    tensor = torch.empty(size, dtype=torch.uint8)
    tensor[:touched].fill_(1)
    return block_of(tensor)


def large_product(side: int) -> Callable[[], object]:
    """Return a function that multiplies two matrices of `side` rows and columns."""
    matrix = torch.ones(side, side)
    return lambda: torch.mm(matrix, matrix)
