"""Which kernels ran, read from lines that oneDNN 3.12 and oneMKL 2024.0 printed on an AMD EPYC with avx512_bf16 (no AMX)."""

import ctypes
import os

import pytest

from fixtures.protocol.kernels import (
    Kernel,
    c_stdout,
    count_cache_lookups,
    count_small_products,
    count_weight_reorders,
    merge,
    parse_mkl,
    parse_onednn,
    precision_share,
)

PREFIX = "onednn_verbose,v1,primitive,exec,cpu,"
BF16_CONVOLUTION = (
    PREFIX + "convolution,brg_conv_fwd:avx512_core_bf16,forward_training,src:bf16::blocked:acdb::f0 wei:bf16:ap:blocked:AcdB64a2b::f0 "
    "bia:undef::undef::: dst:bf16::blocked:acdb::f0,attr-scratchpad:user,alg:convolution_direct,"
    "mb2_ic3oc64_ih64oh32kh7sh2dh0ph3_iw64ow32kw7sw2dw0pw3,0.0681152"
)
BF16_MATMUL = (
    PREFIX + "matmul,brg_matmul:avx512_core_bf16,undef,src:bf16::blocked:ab::f0 wei:bf16::blocked:ba::f0 dst:bf16::blocked:ab::f0,"
    "attr-scratchpad:user attr-post-ops:sum,,2x512:512x1000,0.0668945"
)
F32_CONVOLUTION = (
    PREFIX + "convolution,jit:avx512_core,forward_training,src:f32:a:blocked:abcd::f0 wei:f32:a:blocked:Acdb16a::f0 bia:undef::undef::: "
    "dst:f32:a:blocked:aBcd16b::f0,attr-scratchpad:user,alg:convolution_direct,"
    "mb2_ic3oc64_ih64oh32kh7sh2dh0ph3_iw64ow32kw7sw2dw0pw3,11.969"
)
FAST_MATH_CONVOLUTION = F32_CONVOLUTION.replace("attr-scratchpad:user", "attr-scratchpad:user attr-fpmath:bf16")
FAST_MATH_GELU = (
    PREFIX + "eltwise,jit:avx512_core_bf16,forward_training,data:f32::blocked:abc::f0,attr-scratchpad:user attr-fpmath:bf16,"
    "alg:eltwise_gelu_erf alpha:0 beta:0,2x17x768,0.00512695"
)
BF16_GELU = (
    PREFIX + "eltwise,jit:avx512_core_bf16,forward_training,data:bf16::blocked:abc::f0,attr-scratchpad:user,"
    "alg:eltwise_gelu_erf alpha:0 beta:0,2x17x768,0.00610352"
)
INT8_CONVOLUTION = (
    PREFIX + "convolution,brg_conv_fwd:avx512_core_vnni,forward_inference,src:u8::blocked:acdb::f0 wei:s8:a:blocked:AcdB32a4b::f8:zpm1 "
    "bia:f32:a:blocked:a::f0 dst:u8::blocked:acdb::f0,attr-scratchpad:user attr-scales:src0:0:f32+dst:0:f32+wei:1:f32 "
    "attr-zero-points:src0:0:s32+dst:0:s32,alg:convolution_direct,mb2_ic16oc32_ih16oh16kh3sh1dh0ph1_iw16ow16kw3sw1dw0pw1,19.1289"
)
INT8_MATMUL = (
    PREFIX + "matmul,brg_matmul:avx512_core_vnni,undef,src:u8:a:blocked:ab::f0 wei:s8:p:blocked:AB16a64b4a::f8:zpm2 "
    "bia:f32::blocked:ab::f0_mask2 dst:u8::blocked:ab::f0,attr-scratchpad:user attr-scales:src0:0:f32+dst:0:f32+wei:2:f32 "
    "attr-zero-points:src0:0:s32+dst:0:s32,,4x16:16x32,0.0078125"
)
REORDER = PREFIX + "reorder,jit:uni,undef,src:f32::blocked:abcd::f0 dst:f32::blocked:Acdb16a::f0,attr-scratchpad:user,,64x3x7x7,0.0151367"
ARM_FAST_MATH = (
    PREFIX + "convolution,indirect_gemm:acl,forward_training,src:f32::blocked:acdb::f0 wei:f32:a:blocked:Acdb8a::f0 "
    "bia:f32:a:blocked:a::f0 dst:f32::blocked:acdb::f0,attr-scratchpad:user attr-fpmath:bf16,alg:convolution_direct,"
    "mb1_ic64oc64_ih16oh16kh3sh1dh0ph1_iw16ow16kw3sw1dw0pw1,1.5"
)
AMX_CONVOLUTION = FAST_MATH_CONVOLUTION.replace("jit:avx512_core", "brgconv:avx512_core_amx")
AMX_MATMUL = (
    PREFIX + "matmul,brg_matmul:avx10_1_512_amx,undef,src:f32::blocked:ab::f0 wei:f32:a:blocked:BA16a64b::f0 dst:f32::blocked:ab::f0,"
    "attr-scratchpad:user attr-fpmath:bf16,,8x512:512x1000,0.05"
)
DEPTHWISE_CONVOLUTION = (
    PREFIX + "convolution,jit_dw:avx2,forward_training,src:f32:a:blocked:acdb::f0 wei:f32:a:blocked:Abcde8a::f0 bia:f32:a:blocked:a::f0 "
    "dst:f32:a:blocked:acdb::f0,attr-scratchpad:user,alg:convolution_direct,g256mb32_ic256oc256_ih28oh14kh3sh2dh0ph1_iw28ow14kw3sw2dw0pw1,0.29"
)
DECONVOLUTION = (
    PREFIX + "deconvolution,conv:any+jit:avx2,forward_training,src:f32:a:blocked:aBcd8b::f0 wei:f32:a:blocked:BAcd8b8a::f0 "
    "bia:f32:a:blocked:a::f0 dst:f32:a:blocked:aBcd8b::f0,attr-scratchpad:user,alg:deconvolution_direct,"
    "mb2_ic8oc16_ih20oh22kh3sh1dh0ph0_iw20ow22kw3sw1dw0pw0,34.6729"
)
INNER_PRODUCT = (
    PREFIX + "inner_product,gemm:jit,forward_inference,src:f32::blocked:abcd::f0 wei:f32::blocked:abcd::f0 bia:f32::blocked:a::f0 "
    "dst:f32::blocked:ab::f0,attr-scratchpad:user,,mb2ic256ih6iw6oc4096,5.4458"
)
ATTENTION_MATMUL = (
    PREFIX + "matmul,jit:avx2,undef,src:f32::blocked:abc::f0 wei:f32::blocked:abc::f0 dst:f32::blocked:abc::f0,attr-scratchpad:user,,"
    "6x17x64:6x64x17,0.2"
)
SHARED_MATMUL = ATTENTION_MATMUL.replace("6x17x64:6x64x17", "6x17x64:1x64x10")
LSTM = (
    PREFIX + "rnn,brgemm:avx2,forward_inference,src_layer:f32::blocked:abc::f0 src_iter:f32::blocked:abcd::f0 "
    "wei_layer:f32:a:blocked:abdEc16e::f0 wei_iter:f32:a:blocked:abdEc16e::f0 bias:f32::blocked:abcd::f0 dst_layer:f32::blocked:abc::f0 "
    "dst_iter:f32::blocked:abcd::f0,attr-scratchpad:user,alg:vanilla_lstm direction:unidirectional_left2right activation:undef flags:,"
    "l1t8mb2sic32slc16dhc32dic32,0.5"
)
BANNER = """\
onednn_verbose,v1,info,oneDNN v3.12.0 (commit 80afa71049cd69a3df32adcccb623b12cd7baa22)
onednn_verbose,v1,info,cpu,isa:Intel AVX-512 with Intel DL Boost and bfloat16 support
onednn_verbose,v1,primitive,info,template:operation,engine,primitive,implementation,prop_kind,memory_descriptors,attributes,auxiliary,\
problem_desc,exec_time"""
CACHE_HIT = BF16_MATMUL.replace("primitive,exec,", "primitive,create:cache_hit,")
CACHE_MISS = BF16_MATMUL.replace("primitive,exec,", "primitive,create:cache_miss,")

MKL_BANNER = (
    "MKL_VERBOSE oneMKL 2024.0 Update 2 Product build 20240605 for Intel(R) 64 architecture Intel(R) Architecture processors, "
    "Lnx 2.60GHz lp64 gnu_thread"
)
SGEMM = (
    "MKL_VERBOSE SGEMM(T,N,1000,2,512,0x7ffe4a81b000,0x558ac1858ec0,512,0x558abd59d240,512,0x7ffe4a81b020,0x558abd586400,1000) "
    "266.57us CNR:OFF Dyn:0 FastMM:1 TID:0  NThr:2"
)
SIDE_BY_SIDE = (
    "MKL_VERBOSE GEMM_BF16BF16F32(T,N,17,17,64,0x7ffe4a818fd0,0x558abe6e16c0,576,0x558abe6e1540,576,0x7ffe4a818fcc,0x558abe6d7c40,17) "
    "11.27us CNR:OFF Dyn:0 FastMM:1 TID:0  NThr:2\n"
    "MKL_VERBOSE GEMM_BF16BF16F32(T,N,17,17,64,0x7f852daeebd0,0x558abe6e6340,576,0x558abe6e61c0,576,0x7f852daeebcc,0x558abe6d924c,17) "
    "8.68us CNR:OFF Dyn:0 FastMM:1 TID:1  NThr:2"
)


def kernel(precision: str = "f32", time_s: float = 1.0, operation: str = "convolution", count: int = 1) -> Kernel:
    return Kernel(operation=operation, implementation="jit", precision=precision, time_s=time_s, count=count)


@pytest.mark.parametrize(
    ("line", "operation", "precision"),
    [
        (BF16_CONVOLUTION, "convolution", "bf16"),
        (BF16_MATMUL, "matmul", "bf16"),
        (BF16_GELU, "eltwise", "bf16"),
        (F32_CONVOLUTION, "convolution", "f32"),
        (INT8_CONVOLUTION, "convolution", "int8"),
        (INT8_MATMUL, "matmul", "int8"),
        (REORDER, "reorder", "f32"),
        (FAST_MATH_CONVOLUTION, "convolution", "f32"),  # without AMX the attribute is accepted, and the very same f32 kernel runs
        (FAST_MATH_GELU, "eltwise", "f32"),  # fast math touches products only, although the kernel's name ends in `bf16`
        (ARM_FAST_MATH, "convolution", "bf16"),  # ACL computes f32 convolutions in bf16 where the attribute allows it
        (LSTM, "rnn", "f32"),  # whose products run in a primitive of their own
    ],
)
def test_onednn_line_gives_operation_and_precision(line: str, operation: str, precision: str) -> None:
    """The precision is that of the data that a kernel reads, whatever instruction set its name mentions."""
    [parsed] = parse_onednn(line)

    assert (operation, precision) == (parsed.operation, parsed.precision)
    assert parsed.is_heavy == (operation in {"convolution", "matmul", "rnn"})


def test_onednn_time_is_in_seconds() -> None:
    """oneDNN prints milliseconds."""
    assert pytest.approx(11.969e-3) == parse_onednn(F32_CONVOLUTION)[0].time_s


def test_formats_keep_data_types_and_layouts() -> None:
    """Layout and type of source, weights and destination stay readable; an undefined bias is left out."""
    assert parse_onednn(BF16_CONVOLUTION)[0].formats == "src:bf16:acdb wei:bf16:AcdB64a2b dst:bf16:acdb"
    assert parse_onednn(FAST_MATH_CONVOLUTION)[0].formats.endswith(" attr-fpmath:bf16")


@pytest.mark.parametrize(
    "text",
    [
        "",
        BANNER,
        CACHE_HIT,
        "cpuinfo: unknown processor",
        PREFIX + "convolution,jit",
        F32_CONVOLUTION.rpartition(",")[0] + ",soon",
        REORDER[:100],
        "Can't open MIDR_EL1 sysfs entry",
    ],
)
def test_other_lines_are_not_kernels(text: str) -> None:
    """Banners, creations, other output, and lines cut off in the middle count nothing."""
    assert parse_onednn(text) == []


@pytest.mark.parametrize("line", [AMX_CONVOLUTION, AMX_MATMUL])
def test_fast_math_in_amx_kernels_is_bf16(line: str) -> None:
    """AMX has no products of f32: its kernels on f32 tensors compute in bf16 where the attribute allows it."""
    assert parse_onednn(line)[0].precision == "bf16"
    assert parse_onednn(line.replace(" attr-fpmath:bf16", ""))[0].precision == "f32"


@pytest.mark.parametrize(
    ("line", "flops", "rows", "has_weights"),
    [
        (F32_CONVOLUTION, 2 * 2 * 64 * 32 * 32 * 3 * 7 * 7, 2, True),
        (DEPTHWISE_CONVOLUTION, 2 * 32 * 256 * 14 * 14 * 3 * 3, 32, True),
        (DECONVOLUTION, 2 * 2 * 8 * 20 * 20 * 16 * 3 * 3, 2, True),
        (BF16_MATMUL, 2 * 2 * 512 * 1000, 2, True),
        (INNER_PRODUCT, 2 * 2 * 256 * 6 * 6 * 4096, 2, True),
        (SHARED_MATMUL, 2 * 6 * 17 * 64 * 10, 6 * 17, True),
        (ATTENTION_MATMUL, 2 * 6 * 17 * 64 * 17, 6 * 17, False),
        (LSTM, 2 * 8 * 2 * 4 * 32 * (16 + 32), 2, True),
        (REORDER, 0, 0, False),
        (BF16_MATMUL.replace("2x512:512x1000", "soon"), 0, 0, False),
    ],
)
def test_onednn_problem_gives_the_arithmetic(line: str, flops: float, rows: int, has_weights: bool) -> None:
    """Two FLOPs for each multiplication and addition; a product of two activations has no weights."""
    [parsed] = parse_onednn(line)

    assert (flops, rows, has_weights) == (parsed.flops, parsed.rows, parsed.has_weights)


def test_mkl_products_with_a_weight_are_layers() -> None:
    """oneMKL is told sizes only: a product with an operand of a weight's shape is a layer, attention's is none."""
    layer, other = parse_mkl(SGEMM, {(1000, 512)}) + parse_mkl(SGEMM, {(512, 512)})

    assert (2 * 2 * 512 * 1000, 2, True) == (layer.flops, layer.rows, layer.has_weights)
    assert not other.has_weights


def test_a_convolution_by_mkl_is_a_layer() -> None:
    """torch computes a convolution of one small image as a product of its weights and the pixels, which are not samples."""
    line = SGEMM.replace("SGEMM(T,N,1000,2,512,", "SGEMM(N,N,256,64,576,")
    assert line != SGEMM
    [layer] = parse_mkl(line, {(64, 64, 3, 3), (1000, 512)})
    [other] = parse_mkl(line, {(64, 32, 3, 3)})

    assert (2 * 256 * 64 * 576, 0, True) == (layer.flops, layer.rows, layer.has_weights)
    assert not other.has_weights


@pytest.mark.parametrize(
    ("sizes", "flops", "rows", "has_weights"),
    [
        ([(8, 256), (256, 1000)], 2.0 * 8 * 256 * 1000, 8, True),
        ([(8, 256), (8, 1000), (256, 1000), (1000,)], 2.0 * 8 * 256 * 1000, 8, True),
        ([(8, 1000), (8, 256), (256, 1000)], 2.0 * 8 * 256 * 1000, 8, True),
        ([(24, 17, 64), (24, 64, 17)], 2.0 * 24 * 17 * 64 * 17, 24 * 17, False),
    ],
    ids=["linear", "linear and a sum", "biases first", "attention"],
)
def test_a_template_has_the_arithmetic_of_its_inputs(sizes: list[tuple[int, ...]], flops: float, rows: int, has_weights: bool) -> None:
    """Inductor's own kernels report nothing: the sizes that they were tuned with tell."""
    import torch

    from fixtures.runtimes.inductor import template_kernel

    made = template_kernel("inductor:CppMicroGemmRef", torch.bfloat16, sizes, 1e-3)

    assert (flops, rows, has_weights, "bf16") == (made.flops, made.rows, made.has_weights, made.precision)


def test_reorders_of_weights_are_counted() -> None:
    """A weight that is brought into another layout in each inference is not packed ahead of time."""
    text = "\n".join([REORDER, REORDER, REORDER.replace("64x3x7x7", "2x3x64x64"), REORDER.replace("exec", "create:cache_hit"), BANNER])

    assert count_weight_reorders(text, {(64, 3, 7, 7), (1000, 512)}) == 2


def test_small_products_are_counted_by_their_smallest_side() -> None:
    """Rows, depth or columns: of products and of inner products, and of nothing else."""
    text = "\n".join([BANNER, BF16_MATMUL, BF16_MATMUL.replace("2x512:512x1000", "8x128x32:8x32x128"), BF16_CONVOLUTION, CACHE_MISS])

    assert [0, 1, 2] == [count_small_products(text, side) for side in (1, 2, 32)]


def test_cache_lookups_are_counted() -> None:
    """Hits and misses of the primitive cache come from the lines about creation."""
    assert count_cache_lookups("\n".join([BANNER, CACHE_MISS, CACHE_HIT, BF16_MATMUL, CACHE_HIT])) == (2, 1)


def test_mkl_line_is_a_matrix_product() -> None:
    """oneMKL's calls count as matrix products, its banner as nothing."""
    [parsed] = parse_mkl(f"{MKL_BANNER}\n{SGEMM}")

    assert (parsed.operation, parsed.implementation, parsed.precision) == ("matmul", "mkl:sgemm", "f32")
    assert pytest.approx(266.57e-6) == parsed.time_s


def test_mkl_calls_side_by_side_count_once() -> None:
    """Two threads that multiply at the same time take the time of one, and are two calls."""
    [parsed] = merge(parse_mkl(SIDE_BY_SIDE))

    assert (parsed.precision, parsed.count) == ("bf16", 2)
    assert pytest.approx(11.27e-6) == parsed.time_s


def test_the_bare_gemm_call_is_a_product() -> None:
    """torch._int_mm calls oneDNN's gemm function, which tells types in another form and no implementation."""
    line = (
        "onednn_verbose,v1,primitive,exec,cpu,gemm_api,,undef,src_s8::blocked:ab:f0 wei_s8::blocked:ab:f0 dst_s32::blocked:ab:f0,,,"
        "512x512:512x512,25.73"
    )
    [parsed] = parse_onednn(line)

    assert ("matmul", "gemm_api", "int8") == (parsed.operation, parsed.implementation, parsed.precision)
    assert pytest.approx(0.02573) == parsed.time_s


def test_precision_share_is_weighted_by_time_and_sums_to_one() -> None:
    """A long kernel counts for more than a short one."""
    share = precision_share([kernel("bf16", 6.0), kernel("f32", 1.0), kernel("int8", 2.0), kernel("f32", 1.0)])

    assert share == pytest.approx({"int8": 0.2, "bf16": 0.6, "f32": 0.2})
    assert pytest.approx(1.0) == sum(share.values())
    assert list(share) == ["int8", "bf16", "f32"]


def test_precision_share_of_nothing_is_empty() -> None:
    """No kernel, or kernels without time, have no share: never a division by zero."""
    assert precision_share([]) == {}
    assert precision_share([kernel(time_s=0.0)]) == {}


def test_merge_adds_up_equal_kernels_and_puts_the_costliest_first() -> None:
    """Kernels that differ only in time and count become one."""
    merged = merge([kernel("f32", 1.0), kernel("bf16", 5.0, count=2), kernel("f32", 2.0)])

    assert merged == [kernel("bf16", 5.0, count=2), kernel("f32", 3.0, count=2)]


def test_c_stdout_collects_what_c_code_prints() -> None:
    """Text that a C library leaves in its buffer is collected, and the process's stdout is restored."""
    before = os.fstat(1)
    with c_stdout() as text:
        ctypes.CDLL(None).puts(BF16_MATMUL.encode())

    assert text == [BF16_MATMUL + "\n"]
    assert (before.st_dev, before.st_ino) == (os.fstat(1).st_dev, os.fstat(1).st_ino)
