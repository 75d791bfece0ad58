"""The work of known layers, counted by hand: FLOPs, weights and activations."""

import pytest
import torch
from torch import nn

from fixtures.protocol import Job, ModelSpec
from fixtures.runtimes.torch_session import TorchSession
from fixtures.workload import count


def session(model: nn.Module) -> TorchSession:
    job = Job(model=ModelSpec(name="code:a:b"), runtime="eager", precision="fp32", batch_size=1, threads=1)
    return TorchSession(job, model, model)


def test_a_linear_layer() -> None:
    """4 samples of 10 features to 6: 2 x 10 x 6 FLOP each; 60 weights and 6 biases; 10 read and 6 written."""
    found = count(session(nn.Linear(10, 6)), (torch.randn(4, 10),))

    assert (120.0, 66, 16.0) == (found.flops_per_sample, found.weight_elements, found.activation_elements_per_sample)


def test_a_convolution() -> None:
    """3 to 8 channels, 3x3, stride 2 on 8x8: 16 places x 8 x 27 x 2 FLOP; 192 read and 128 written."""
    model = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
    found = count(session(model), (torch.randn(2, 3, 8, 8),))

    assert (16 * 8 * 27 * 2, 216, 320.0) == (found.flops_per_sample, found.weight_elements, found.activation_elements_per_sample)


def test_groups_divide_the_work() -> None:
    """A depthwise convolution multiplies each channel with its own filter only."""
    found = count(session(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)), (torch.randn(1, 8, 4, 4),))

    assert (8 * 16 * 9 * 2, 72) == (found.flops_per_sample, found.weight_elements)


def test_a_weight_in_use_twice_counts_once_and_what_is_between_is_fused() -> None:
    """The layer runs twice: twice the FLOPs and activations, its weights once; ReLU adds nothing."""
    layer = nn.Linear(10, 10, bias=False)
    found = count(session(nn.Sequential(layer, nn.ReLU(), layer)), (torch.randn(1, 10),))

    assert (400.0, 100, 40.0) == (found.flops_per_sample, found.weight_elements, found.activation_elements_per_sample)


class Attention(nn.Module):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


def test_attention_on_a_cpu_is_counted() -> None:
    """2 heads, 5 tokens of 8: two products of 2 x 2 x 5 x 5 x 8 FLOP; three tensors of 80 read, one written."""
    found = count(session(Attention()), (torch.randn(1, 2, 5, 8),))

    assert (2 * 2 * 2 * 5 * 5 * 8, 0, 320.0) == (found.flops_per_sample, found.weight_elements, found.activation_elements_per_sample)


def test_samples_of_a_batch_share_the_work() -> None:
    one, many = (count(session(nn.Linear(10, 6)), (torch.randn(size, 10),)) for size in (1, 8))

    assert one == many


def test_a_model_without_products_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match="no convolution, matrix product or attention"):
        count(session(nn.ReLU()), (torch.randn(1, 3),))


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 2, batch_first=True)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return mixed


def frozen(model: nn.Module) -> nn.Module:
    """As the suite serves it: in eval mode, where torch takes the fast path of attention."""
    return model.eval().requires_grad_(False)


def test_multihead_attention_is_counted_as_it_is_written() -> None:
    """10 tokens of width 64: four products of 2 x 10 x 64 x 64 FLOP, and two of 2 x 10 x 10 x 64 between tokens."""
    found = count(session(frozen(SelfAttention())), (torch.randn(3, 10, 64),))

    assert 4 * 2 * 10 * 64 * 64 + 2 * 2 * 10 * 10 * 64 == found.flops_per_sample
    assert torch.backends.mha.get_fastpath_enabled()


def test_transformer_encoder_is_counted_whole() -> None:
    """Torchvision's ViT is made of such blocks: 4 d^2 of attention and 2 d m of the MLP a token, and attention between tokens."""
    tokens, width, hidden, layers = 10, 64, 256, 2
    block = nn.TransformerEncoderLayer(width, 2, hidden, batch_first=True)
    found = count(session(frozen(nn.TransformerEncoder(block, layers))), (torch.randn(2, tokens, width),))

    products = 2 * tokens * (4 * width**2 + 2 * width * hidden)
    assert layers * (products + 2 * 2 * tokens**2 * width) == found.flops_per_sample
