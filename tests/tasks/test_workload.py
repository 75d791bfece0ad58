"""The work of known layers, counted by hand: FLOPs, weights and activations."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from fixtures.protocol import Job, ModelSpec
from fixtures.runtimes.torch_session import TorchSession
from fixtures.tasks.workload import NoProductsError, count


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


def test_a_patch_embedding_is_told_from_the_layers_behind_it() -> None:
    """One place of 3 x 4 x 4 inputs and 8 outputs: 768 FLOP of a convolution beside 2 x 8 x 100 of a linear layer; attention is none."""
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 4, bias=False), nn.Flatten(), nn.Linear(8, 100, bias=False), nn.Unflatten(1, (1, 10, 10)), Attention()
    )
    found = count(session(layers), (torch.randn(1, 3, 4, 4),))

    assert (1, 768 / (768 + 1600)) == (found.convolutions, found.convolution_share)


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


def test_a_long_short_term_memory_is_counted() -> None:
    """Both directions of 4 gates, 5 positions of 3 samples: 2 x 4 x 16 x (8 + 16) FLOP each, whatever operator torch gives them to."""
    model = nn.LSTM(8, 16, batch_first=True, bidirectional=True).eval()
    found = count(session(model), (torch.randn(3, 5, 8),))

    assert found.flops_per_sample == 2 * 5 * 2 * 4 * 16 * (8 + 16)


def test_a_product_with_a_vector_is_counted() -> None:
    class Scores(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x.new_ones(64)

    assert count(session(Scores()), (torch.randn(8, 64),)).flops_per_sample == 2 * 64


class Looked(nn.Module):
    """Rows of a table, a tensor that is no buffer, a number made here, and normalization: nothing that multiplies matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.mask = nn.EmbeddingBag(50, 6), nn.LayerNorm(6), torch.arange(6.0)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.norm(self.table(ids)) * self.mask + torch.tensor(0.5)
        return scores.relu() / scores.abs().max().item()


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (nn.ReLU(), torch.randn(8, 3)),
        (Looked(), torch.randint(0, 50, (8, 4))),
        (nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(3), nn.Upsample(scale_factor=2, mode="bilinear")).eval(), torch.randn(8, 3, 8, 8)),
    ],
    ids=["activation", "embeddings", "pooling"],
)
def test_a_model_without_products_is_known_as_one(model: nn.Module, inputs: torch.Tensor) -> None:
    with pytest.raises(NoProductsError, match="no convolution, matrix product or attention"):
        count(session(model), (inputs,))


class Hidden(nn.Module):
    """A product with its weights that torch's counter does not see."""

    kept: torch.Tensor

    def __init__(self, product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.weight, self.product = nn.Parameter(torch.randn(64, 64), requires_grad=False), product
        self.register_buffer("kept", torch.zeros(8, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.product(x, self.weight).relu()


def _written_into(place: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    place.numpy()[:] = x.numpy() @ weight.numpy()
    return place


def _in_a_thread(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.matmul, x, weight).result()


@torch.library.custom_op("cpu_inference_ladder_tests::product", mutates_args=())
def _foreign(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(left.numpy() @ right.numpy())


KEPT = torch.zeros(8, 64)
HIDDEN: dict[str, tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], str]] = {
    "numpy": (lambda x, w: torch.from_numpy(x.numpy() @ w.numpy()), "comes from outside of torch's operators"),
    "numpy into new memory": (lambda x, w: _written_into(torch.empty(8, 64), x, w), "something else than torch's operators wrote into"),
    "numpy into zeros": (lambda x, w: _written_into(torch.zeros(8, 64), x, w), "something else than torch's operators wrote into"),
    "numpy into memory of its own": (lambda x, w: _written_into(KEPT, x, w), "comes from outside of torch's operators"),
    "numbers": (lambda x, w: torch.tensor((x.numpy() @ w.numpy()).tolist()), "comes from outside of torch's operators"),
    "another thread": (_in_a_thread, "comes from outside of torch's operators"),
    "a foreign operator": (
        torch.ops.cpu_inference_ladder_tests.product,
        "knows nothing of the operator cpu_inference_ladder_tests::product",
    ),
    "a solver": (lambda x, w: torch.linalg.solve(w, x.T).T, "does not know the operator _linalg_solve_ex"),
    "distances": (torch.cdist, "does not know the operator _euclidean_dist"),
    "integers": (lambda x, w: torch._int_mm(x.char().repeat(4, 1), w.char()).float(), "does not know the operator _int_mm"),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_a_hidden_product_is_never_taken_for_none(how: str) -> None:
    """The counter counts nothing in each of them, which is no proof that there is nothing."""
    product, doubt = HIDDEN[how]
    with pytest.raises(ValueError, match="no product was counted, but not all of the model's work was seen") as raised:
        count(session(Hidden(product)), (torch.randn(8, 64),))

    assert not isinstance(raised.value, NoProductsError)
    assert doubt in str(raised.value)


def test_a_buffer_as_the_place_of_a_hidden_product_is_seen() -> None:
    """Its content is the same in each inference of the same inputs, so other rows are given."""
    model = Hidden(lambda x, w: x)
    model.product = lambda x, w: _written_into(model.kept, x, w)
    with pytest.raises(ValueError, match="something else than torch's operators wrote into"):
        count(session(model), (torch.randn(8, 64),))


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
