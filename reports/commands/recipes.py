"""What to set on this machine before anything was measured on it, as `ladder doctor` prints it; for Arm the tables of docs/graviton.md.

Nothing of it was timed by us. Cells are Markdown, as they stand on the page; a test holds the two together.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fixtures.machine import Machine
from fixtures.steps.optimizations import catalogue
from fixtures.steps.recipe import quick_steps

PAGE = "docs/graviton.md"
GRAVITON_GUIDE = "https://github.com/aws/aws-graviton-getting-started/blob/main/machinelearning/pytorch.md"
LLAMA_GUIDE = "https://aws.github.io/graviton/machinelearning/llama.cpp.html"
FREEZING_IN_BF16 = "https://github.com/pytorch/pytorch/issues/180447"
SMALL_PRODUCTS = "https://docs.pytorch.org/tutorials/recipes/inference_tuning_on_aws_graviton.html"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to do, on Arm CPUs without bf16 (Graviton2) and with it (Graviton3 and later); and from where that is known."""

    do: str
    without_bf16: str
    with_bf16: str
    known_from: str


@dataclass(frozen=True, kw_only=True)
class Warned:
    """What not to do on Arm, and why."""

    what: str
    why: str
    known_from: str
    needs_bf16: bool = False


@dataclass(frozen=True, kw_only=True)
class Order:
    """The steps to expect most of for one kind of model on Arm, in order, and the command that measures them."""

    models: str
    command: str
    without_bf16: str
    with_bf16: str


ORDERS = (
    Order(
        models="ResNet-like",
        command="ladder quick --model torchvision:resnet50",
        without_bf16="`channels_last`, `compile_freezing`, `onnxruntime`, `onnxruntime_int8`; then `workers_pinned`",
        with_bf16="`channels_last`, `bf16_autocast`, `compile_freezing`, `onnxruntime_int8`; then `workers_pinned`",
    ),
    Order(
        models="ViT-like",
        command="ladder quick --model vit",
        without_bf16="`compile_freezing`, `onnxruntime`, `onnxruntime_int8`, `openvino`, `openvino_int8`",
        with_bf16="`bf16_autocast` or `fast_math`, `compile`, `onnxruntime_fast_math`, `openvino`, `onnxruntime_int8`, `openvino_int8`",
    ),
    Order(
        models="BERT-like",
        command="ladder run --model transformers:bert --sequence-length 128",
        without_bf16="as ViT-like; short texts in fp32: `small_products`",
        with_bf16="as ViT-like; short texts in fp32: `small_products`",
    ),
    Order(
        models="LLM serving",
        command="ladder run --generation decode-512x1 --model transformers:gpt2",
        without_bf16=f"4-bit weights by [llama.cpp]({LLAMA_GUIDE}); the ladder measures tokens by it, torch, ONNX Runtime and OpenVINO",
        with_bf16="the same, with its kernels for i8mm and SVE",
    ),
)
DO = (
    Advice(
        do="install torch's CPU build: from 2.11 on PyPI's aarch64 wheel is a CUDA build",
        without_bf16="yes",
        with_bf16="yes",
        known_from="[read](#on-arm-itself)",
    ),
    Advice(
        do="one thread for each vCPU, which is a core; for throughput one pinned worker for each (`workers_pinned`)",
        without_bf16="yes",
        with_bf16="yes",
        known_from="seen to stay apart; [read](https://github.com/aws/aws-graviton-getting-started#building-for-graviton)",
    ),
    Advice(
        do="channels-last for convolutional networks; a ViT has nothing to gain",
        without_bf16="yes",
        with_bf16="yes",
        known_from=f"seen; [read]({GRAVITON_GUIDE})",
    ),
    Advice(
        do="bf16 autocast, or `DNNL_DEFAULT_FPMATH_MODE=BF16` where the model is to stay in fp32",
        without_bf16="no bf16",
        with_bf16="yes, one of the two",
        known_from="seen: ACL's bf16 kernels",
    ),
    Advice(
        do="`torch.compile`",
        without_bf16="with freezing, in fp32",
        with_bf16="without freezing where the model is in bf16 and has matrix products (ViT, BERT)",
        known_from=f"seen; [read]({FREEZING_IN_BF16})",
    ),
    Advice(
        do="ONNX Runtime, on ViT and BERT with `mlas.enable_gemm_fastmath_arm64_bfloat16` in the options of the session",
        without_bf16="fp32",
        with_bf16="yes",
        known_from="seen",
    ),
    Advice(do="OpenVINO in its default, f16", without_bf16="try", with_bf16="ViT, BERT", known_from="seen"),
    Advice(
        do="INT8 by ONNX Runtime (static, per channel)",
        without_bf16="try",
        with_bf16="yes, on both kinds of model",
        known_from="seen: int8 kernels, SQNR 27 to 31 dB",
    ),
    Advice(
        do="INT8 by OpenVINO and NNCF",
        without_bf16="ViT, BERT; most of a ResNet stays in f16",
        with_bf16="the same",
        known_from="seen",
    ),
    Advice(
        do="`TORCH_MKLDNN_MATMUL_MIN_DIM=64` (`small_products`) for small linear layers in fp32",
        without_bf16="try",
        with_bf16="try, without autocast",
        known_from=f"seen to reach OpenBLAS; [read]({SMALL_PRODUCTS})",
    ),
)
DO_NOT = (
    Warned(
        what="TCMalloc, jemalloc, `THP_MEM_ALLOC_ENABLE=1` with torch 2.10 or later",
        why="torch allocates tensors itself: neither reaches one, and both gains are there already",
        known_from="[seen](#tcmalloc-and-huge-pages-from-torch-210-on)",
    ),
    Warned(what="`LRU_CACHE_CAPACITY=1024`", why="it is the default", known_from="seen"),
    Warned(
        what="`DNNL_DEFAULT_FPMATH_MODE=BF16` under autocast",
        why="it changes fp32 kernels, of which none is left",
        known_from="seen",
        needs_bf16=True,
    ),
    Warned(
        what="ONNX Runtime's options after the session was made",
        why="they never reach it: outputs equal those without, bit for bit",
        known_from="seen",
    ),
    Warned(
        what="ONNX Runtime's fast math for a convolutional network, with 1.31",
        why="its convolutions do not use it",
        known_from="seen",
        needs_bf16=True,
    ),
    Warned(
        what="freezing, AOTInductor or autotuning of a ViT in bf16, with torch 2.10",
        why="all matrix products run in reference kernels, published as a hundred times slower",
        known_from=f"seen; [read]({FREEZING_IN_BF16})",
        needs_bf16=True,
    ),
    Warned(
        what="PT2E with the Arm quantizer's default config",
        why="it computes in f32 or bf16; per-channel weights with uint8 activations compute in int8, with torch 2.10 in reference kernels",
        known_from="seen",
    ),
    Warned(
        what="fp16 in torch (`torch_fp16`)",
        why="layers run in PyTorch's own loops, 2 to 10 times slower than bf16 in its aarch64 runs (2024)",
        known_from="seen; [read](https://github.com/pytorch/pytorch/issues/134709)",
    ),
)


def recipe_for(machine: Machine) -> Iterator[str]:
    """Yield, line by line, which settings help on this machine, which do not, and the source of each."""
    if machine.architecture != "aarch64":
        yield f"measure first: {', '.join(quick_steps(machine, catalogue()))} (ladder quick)"
        return
    has_bf16 = "bf16" in machine.features
    for order in ORDERS:
        yield f"{order.models}: {_plain(order.with_bf16 if has_bf16 else order.without_bf16)}; {order.command}"
    for advice in DO:
        yield f"do: {_plain(advice.do)}: {_plain(advice.with_bf16 if has_bf16 else advice.without_bf16)}"
    for warned in DO_NOT:
        if has_bf16 or not warned.needs_bf16:
            yield f"do not: {_plain(warned.what)}: {_plain(warned.why)}"


def _plain(markdown: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "")
