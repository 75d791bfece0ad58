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


class Attention(nn.Module):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


SHARED = nn.Linear(10, 10, bias=False)
# FLOP a sample, elements of weights, and elements that a sample reads and writes.
LAYERS: dict[str, tuple[nn.Module, torch.Tensor, tuple[float, int, float]]] = {
    "a linear layer, whose biases are weights": (nn.Linear(10, 6), torch.randn(4, 10), (2 * 10 * 6, 60 + 6, 10 + 6)),
    "a convolution, 3 to 8 channels at 16 places": (
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        torch.randn(2, 3, 8, 8),
        (16 * 8 * 27 * 2, 8 * 27, 192 + 128),
    ),
    "groups, each of which multiplies its own channels only": (
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        torch.randn(1, 8, 4, 4),
        (8 * 16 * 9 * 2, 72, 128 + 128),
    ),
    "a weight in use twice, and what is fused between": (
        nn.Sequential(SHARED, nn.ReLU(), SHARED),
        torch.randn(1, 10),
        (2 * 2 * 10 * 10, 100, 2 * (10 + 10)),
    ),
    "attention on a CPU, two products of 5 tokens in 2 heads": (
        Attention(),
        torch.randn(1, 2, 5, 8),
        (2 * 2 * 2 * 5 * 5 * 8, 0, 3 * 80 + 80),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_work_is_that_counted_by_hand(name: str) -> None:
    model, inputs, expected = LAYERS[name]
    found = count(session(model), (inputs,))

    assert expected == (found.flops_per_sample, found.weight_elements, found.activation_elements_per_sample)


def test_a_patch_embedding_is_told_from_the_layers_behind_it() -> None:
    """One place of 3 x 4 x 4 inputs and 8 outputs: 768 FLOP of a convolution beside 2 x 8 x 100 of a linear layer; attention is none."""
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 4, bias=False), nn.Flatten(), nn.Linear(8, 100, bias=False), nn.Unflatten(1, (1, 10, 10)), Attention()
    )
    found = count(session(layers), (torch.randn(1, 3, 4, 4),))

    assert (1, 768 / (768 + 1600)) == (found.convolutions, found.convolution_share)


def test_samples_of_a_batch_share_the_work() -> None:
    one, many = (count(session(nn.Linear(10, 6)), (torch.randn(size, 10),)) for size in (1, 8))

    assert one == many


class Scores(nn.Module):
    """A product with a vector."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.new_ones(64)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 2, batch_first=True)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return mixed


ENCODER = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 2, 256, batch_first=True), 2)


@pytest.mark.parametrize(
    ("model", "inputs", "flops"),
    [
        # Both directions of 4 gates at 5 positions, whatever operator torch gives them to.
        pytest.param(nn.LSTM(8, 16, batch_first=True, bidirectional=True), (3, 5, 8), 2 * 5 * 2 * 4 * 16 * (8 + 16), id="LSTM"),
        pytest.param(Scores(), (8, 64), 2 * 64, id="vector"),
        # Four products of 10 tokens with weights, and two between tokens.
        pytest.param(SelfAttention(), (3, 10, 64), 4 * 2 * 10 * 64 * 64 + 2 * 2 * 10 * 10 * 64, id="attention"),
        # Torchvision's ViT is made of such blocks: 4 d^2 of attention and 2 d m of the MLP a token, and attention between tokens.
        pytest.param(ENCODER, (2, 10, 64), 2 * (2 * 10 * (4 * 64**2 + 2 * 64 * 256) + 2 * 2 * 10**2 * 64), id="encoder"),
    ],
)
def test_products_inside_an_operator_are_counted(model: nn.Module, inputs: tuple[int, ...], flops: int) -> None:
    """In eval mode, as the suite serves it, torch takes the fast path of attention; that stays allowed for others."""
    assert flops == count(session(model.eval().requires_grad_(False)), (torch.randn(inputs),)).flops_per_sample
    assert torch.backends.mha.get_fastpath_enabled()


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
