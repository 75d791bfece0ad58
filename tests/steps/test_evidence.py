"""Each claim: observations that bear it out, and observations that do not."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from fixtures.machine.memory import Memory
from fixtures.machine.thread_work import ThreadWork
from fixtures.protocol import ControlSeen, Job, ModelSpec, Observations, SmallProducts, Subnormals
from fixtures.protocol.kernels import Kernel
from fixtures.steps import evidence as prove
from fixtures.steps.accuracy import Agreement
from fixtures.steps.evidence import Claim, Evidence, NothingChanged, NothingChangedError, Proof, ProofError, examine, findings, require

JOB = Job(model=ModelSpec(name="torchvision:resnet18"), runtime="eager", precision="fp32", batch_size=8, threads=1, workers=2, pinned=True)
EXACT = Agreement(sqnr_db=200.0, centred_cosine=1.0, cosine=1.0, max_abs_error=0.0, relative_error=0.0, top1_agreement=1.0, samples=8)


def kernel(precision: str, time_s: float = 1.0, operation: str = "convolution", implementation: str = "jit", formats: str = "") -> Kernel:
    return Kernel(operation=operation, implementation=implementation, precision=precision, time_s=time_s, formats=formats)


def layer(precision: str, count: int = 1, flops: float = 1.0, **fields: Any) -> Kernel:
    """So many layers with weights, of `flops` together."""
    given: dict[str, Any] = {"operation": "convolution", "implementation": "jit", "time_s": 1.0, **fields}
    return Kernel(precision=precision, count=count, flops=flops, has_weights=True, **given)


seen = Observations


def ran(*kernels: Kernel, **fields: Any) -> Observations:
    return Observations(kernels=list(kernels), **fields)


def laid_out(*kernels: Kernel, images: bool = True, weights: float | None = 1.0) -> Observations:
    """Kernels that read what lies in channels-last, but for images or a share of the weights."""
    return ran(*kernels, input_channels_last=images, weights_channels_last_share=weights)


def controlled(now: int, after: int = 17) -> ControlSeen:
    """An INT8 of twenty layers, of which a few went back to floating point."""
    return ControlSeen(pictures=200, points=1.0, reference=0.97, before=0.6, after=0.965, int8_before=20, int8_after=after, int8_now=now)


def proof(*ranks: Observations, workers: int | None = None, without_db: float | None = None) -> Proof:
    job = msgspec.structs.replace(JOB, workers=workers or len(ranks))
    without = None if without_db is None else replace(EXACT, sqnr_db=without_db)
    return Proof(job=job, ranks=ranks, agreement=EXACT, without=without)


def work(threads: int) -> ThreadWork:
    return ThreadWork(wall_s=1.0, process_cpu_s=0.9 * threads, cpu_s=[0.9] * threads, cpus=[[0, 1]] * threads, idle_s=2 - 0.9 * threads)


def working(count: int, **fields: Any) -> Observations:
    return seen(thread_work=work(count), **fields)


def of_two_threads(rank: Observations) -> Proof:
    return replace(proof(rank), job=msgspec.structs.replace(JOB, threads=2, workers=1))


def subnormals(activations: int, **fields: Any) -> Subnormals:
    """What is left of 1000 where flushing is in force."""
    given: dict[str, Any] = {"weights": 3, "looked_at": 5000, "flushed_share": 1.0, "unflushed_activations": 1000, **fields}
    return Subnormals(activations=activations, **given)


SERVED = Memory(
    counted={"tcmalloc": 100 * 2**20},
    tensor_bytes=64 * 2**20,
    tensor_counted={"tcmalloc": 64 * 2**20},
    weights=90 * 2**20,
    large=80 * 2**20,
    large_advised=41 * 2**20,
    tensor_advised=True,
)

CASES: dict[Claim, dict[str, tuple[Observations | Proof, Observations | Proof]]] = {
    prove.in_eval_mode(): {
        "eval mode": (seen(eval_mode=True), seen(eval_mode=False)),
        "eval mode unknown": (seen(eval_mode=True), seen(eval_mode=None)),
    },
    prove.threads_in_force(): {
        "threads": (working(1), working(2)),
        "threads that were seen": (working(1), seen(threads=1)),
        "threads of every rank": (proof(working(1), working(1)), proof(working(1), working(2))),
        "threads of a model too small to share": (
            of_two_threads(working(1, threads=2, product_work=work(2), kernels=[kernel("f32", 1e-4)])),
            of_two_threads(working(1, threads=2, product_work=work(1), kernels=[kernel("f32", 1e-4)])),
        ),
        "a long kernel is not too small to share": (
            of_two_threads(working(2, threads=2, kernels=[kernel("f32", 0.1)])),
            of_two_threads(working(1, threads=2, product_work=work(2), kernels=[kernel("f32", 0.1)])),
        ),
        "a recurrent layer that takes long is many small calls": (
            of_two_threads(working(1, threads=2, product_work=work(2), kernels=[kernel("f32", 0.1, operation="rnn")])),
            of_two_threads(working(1, threads=2, product_work=work(1), kernels=[kernel("f32", 0.1, operation="rnn")])),
        ),
        "threads that spin and run no tasks": (
            of_two_threads(working(2, shared_work=work(2))),
            of_two_threads(working(2, shared_work=work(1))),
        ),
        "threads that spin beside a model too small to share": (
            of_two_threads(working(2, threads=2, shared_work=work(1), product_work=work(2), kernels=[kernel("f32", 1e-4)])),
            of_two_threads(working(2, threads=2, shared_work=work(1), product_work=work(1), kernels=[kernel("f32", 1e-4)])),
        ),
        "a pool of fewer threads is no matter of the model": (
            of_two_threads(working(1, threads=2, product_work=work(2))),
            of_two_threads(working(1, threads=1, product_work=work(2))),
        ),
    },
    prove.batch_in_force(): {
        "batch": (seen(batch_size=8), seen(batch_size=1)),
        "batch in the kernels": (
            ran(layer("f32", 20, rows=8), layer("f32", 48, rows=1576), layer("f32", rows=225), batch_size=8),
            ran(layer("f32", 53, rows=1), layer("f32", rows=8), batch_size=8),
        ),
        "batch in every rank": (proof(seen(batch_size=8), seen(batch_size=8)), proof(seen(batch_size=8), seen(batch_size=1))),
    },
    prove.kernels_in("bf16"): {
        "bf16 kernels": (ran(kernel("bf16", 6), kernel("f32", 4)), ran(kernel("bf16", 4), kernel("f32", 6))),
        "share of heavy kernels only": (
            ran(kernel("bf16"), kernel("f32", 9, operation="reorder")),
            ran(kernel("f32"), kernel("bf16", 9, operation="reorder")),
        ),
        "bf16 for most layers, not for most of the time only": (
            ran(layer("bf16", 27, 3.0, time_s=0.6), layer("f32", 26, 2.0, time_s=0.4)),
            ran(layer("bf16", 1, 9.0, time_s=0.6), layer("f32", 52, 1.0, time_s=0.4)),
        ),
        "bf16 for most of the FLOPs": (
            ran(layer("bf16", 27, 6.0, time_s=6.0), layer("f32", 26, 4.0, time_s=4.0)),
            ran(layer("bf16", 52, 4.0, time_s=6.0), layer("f32", 1, 6.0, time_s=4.0)),
        ),
        "bf16 for most of the model's layers, those that report nothing included": (
            ran(layer("bf16", 11), layers=21),
            ran(layer("bf16", 2), layers=21),
        ),
        "bf16 in optimized kernels": (
            ran(layer("bf16", 52, 96.0, time_s=6.0), layer("bf16", 1, 4.0, implementation="ref:any", time_s=4.0)),
            ran(layer("bf16", 52, 94.0, time_s=6.0), layer("bf16", 1, 6.0, implementation="ref:any", time_s=4.0)),
        ),
        "bf16 in optimized kernels for most of the time": (
            ran(layer("bf16", 52, 98.0, time_s=6.0), layer("bf16", 1, 2.0, implementation="ref:any", time_s=4.0)),
            ran(layer("bf16", 52, 98.0, time_s=4.0), layer("bf16", 1, 2.0, implementation="ref:any", time_s=6.0)),
        ),
        "bf16 in every rank": (proof(ran(layer("bf16")), ran(layer("bf16"))), proof(ran(layer("bf16")), ran(layer("f32")))),
        "bf16 in Inductor's own template, not in its naive one": (
            ran(layer("bf16", 25, 9.0), layer("bf16", 24, 9.0, implementation="inductor:CppMicroGemmAMX")),
            ran(layer("bf16", 25, 9.0), layer("bf16", 24, 9.0, implementation="inductor:CppMicroGemmRef")),
        ),
        "attention in oneMKL proves nothing of the layers": (
            ran(kernel("bf16", 9, "matmul", "mkl:gemm_bf16bf16f32"), kernel("bf16", 1, "matmul", "brg_matmul:avx512_core_bf16")),
            ran(kernel("bf16", 9, "matmul", "mkl:gemm_bf16bf16f32")),
        ),
    },
    prove.kernels_in("bf16", "f16"): {
        "either precision": (ran(kernel("bf16", 3), kernel("f16", 3), kernel("f32", 4)), ran(kernel("f32"))),
    },
    prove.kernels_in("f32"): {
        "fp32 of a model without products": (
            replace(proof(seen(kernels=[], layers=0)), no_products=True),
            replace(proof(seen(kernels=[], layers=0)), uncounted="numpy wrote into a tensor"),
        ),
        "fp32 layers may all be oneMKL's": (
            ran(kernel("f32", 9, "matmul", "mkl:sgemm")),
            ran(kernel("bf16", 9, "matmul", "mkl:gemm_bf16bf16f32")),
        ),
        "no kernel seen": (ran(kernel("f32")), seen(kernels=[])),
        "fp32 products of a library that reports none": (
            seen(layers=3, half_weights_share=0.0, silent_products=True),
            seen(layers=3, half_weights_share=0.0),
        ),
        "weights in 32 bits beside such a library": (
            seen(layers=3, half_weights_share=0.0, silent_products=True),
            seen(layers=3, half_weights_share=0.5, silent_products=True),
        ),
        "layers beside such a library": (
            seen(layers=1, half_weights_share=0.0, silent_products=True),
            seen(layers=0, half_weights_share=0.0, silent_products=True),
        ),
    },
    prove.int8_kernels(): {
        "int8": (
            ran(kernel("int8", 5), kernel("int8", 3, operation="matmul"), kernel("f32", 1, operation="matmul")),
            ran(kernel("int8", 5), kernel("f32", 3, operation="matmul")),
        ),
        "int8 of convolutions too": (
            ran(kernel("int8", 5), kernel("int8", 3, operation="matmul")),
            ran(kernel("f32", 5), kernel("int8", 3, operation="matmul")),
        ),
        "int8 but for a tiny stem": (
            ran(kernel("f32", 1), kernel("int8", 99, operation="matmul")),
            ran(kernel("int8", 1), kernel("f32", 99, operation="matmul")),
        ),
        "int8 of recurrent layers too": (
            ran(layer("int8", 3, 6.0, operation="matmul"), layer("f32", 3, 4.0, operation="rnn", time_s=0.01)),
            ran(layer("int8", 3, 6.0, operation="matmul"), layer("f32", 3, 4.0, operation="rnn", time_s=5.0)),
        ),
        "int8 for most layers": (
            ran(Kernel(operation="matmul", implementation="jit", precision="int8", time_s=1, count=25), quantizable=50),
            ran(Kernel(operation="matmul", implementation="jit", precision="int8", time_s=1, count=24), quantizable=50),
        ),
        "int8 for most of the FLOPs": (
            ran(layer("int8", 20, 6.0), layer("f32", 1, 4.0), quantizable=21),
            ran(layer("int8", 20, 4.0), layer("f32", 1, 6.0), quantizable=21),
        ),
        "int8 in optimized kernels": (
            ran(layer("int8", 52, 99.0), layer("int8", 1, 1.0, time_s=0.1, implementation="gemm_s8u8s32:ref"), quantizable=53),
            ran(layer("int8", 53, 99.0, implementation="gemm_s8u8s32:ref"), quantizable=53),
        ),
        "int8 but for attention": (
            ran(kernel("int8"), kernel("f32", 9, operation="matmul", implementation="mkl:sgemm")),
            ran(kernel("f32", 9, operation="matmul", implementation="mkl:sgemm")),
        ),
        "int8 beside matrix products that are no attention": (
            ran(kernel("int8", 1), kernel("f32", 18, operation="matmul", implementation="mkl:sgemm")),
            ran(kernel("int8", 1), kernel("f32", 99, operation="matmul", implementation="mkl:sgemm")),
        ),
        "int8 of nothing": (ran(kernel("int8")), seen(kernels=[])),
    },
    prove.weights_per_channel(): {
        "8-bit weights per channel": (seen(per_channel=0.5, quantizable=8), seen(per_channel=0.4, quantizable=8)),
        "scales that nobody saw": (seen(per_channel=1.0), seen(quantizable=8)),
    },
    prove.linear_layers_in_int8(): {
        "linear layers in int8": (
            ran(layer("int8", 40, 50.0, operation="matmul"), layer("f32", 10, 10.0, operation="matmul")),
            ran(layer("int8", 10, 10.0, operation="matmul"), layer("f32", 40, 50.0, operation="matmul")),
        ),
    },
    prove.ranges_in_each_call(): {
        "ranges found in each call": (seen(quantized=8, ranges_in_call=8), seen(quantized=8, ranges_in_call=3)),
        "ranges that nobody saw": (seen(quantized=8, ranges_in_call=8), seen(quantized=8)),
    },
    prove.where_layers_are_linear(prove.ranges_in_each_call()): {
        "ranges where layers are linear": (
            ran(layer("int8", operation="matmul"), quantized=8, ranges_in_call=8),
            ran(layer("int8", operation="matmul"), quantized=8, ranges_in_call=0),
        ),
    },
    prove.edges_in_float(): {
        "edges": (seen(edges=["f32", "bf16"]), seen(edges=["f32", "int8"])),
        "edges that nobody saw": (seen(edges=["f16"]), seen(edges=["f32", "unseen"])),
    },
    prove.accuracy_controlled(): {
        "control": (seen(controlled=controlled(17)), seen(controlled=controlled(20))),
        "control that nobody saw": (seen(controlled=controlled(15)), seen()),
    },
    prove.channels_last_in_force(): {
        "layout": (laid_out(kernel("f32", formats="src:f32:acdb wei:f32:x")), laid_out(kernel("f32", formats="src:f32:abcd dst:f32:acdb"))),
        "layout of the input": (
            laid_out(kernel("f32", formats="src:f32:acdb"), weights=None),
            laid_out(kernel("f32", formats="src:f32:acdb"), images=False, weights=None),
        ),
        "layout of all weights": (
            laid_out(kernel("f32", formats="src:f32:acdb")),
            laid_out(kernel("f32", formats="src:f32:acdb"), weights=0.9),
        ),
        "layout between small convolutions, as of ConvNeXt": (
            laid_out(layer("f32", 18, 1.0, formats="src:f32:acdb"), layer("f32", 48, 99.0, operation="matmul")),
            laid_out(layer("f32", 18, 1.0, formats="src:f32:abcd"), layer("f32", 48, 99.0, operation="matmul")),
        ),
    },
    prove.allocator_serves("tcmalloc"): {
        "allocator": (seen(memory=SERVED), seen(memory=Memory())),
        "allocator that has the weights only": (seen(memory=SERVED), seen(memory=replace(SERVED, tensor_counted={"tcmalloc": 2**15}))),
        "allocator that has not the weights": (seen(memory=SERVED), seen(memory=replace(SERVED, counted={"tcmalloc": 70 * 2**20}))),
        "allocator in every rank": (proof(seen(memory=SERVED), seen(memory=SERVED)), proof(seen(memory=SERVED), seen(memory=Memory()))),
        "allocator where the kernel does not tell which memory is the weights'": (
            seen(memory=SERVED),
            seen(memory=replace(SERVED, weights=0, unread="/proc/self/smaps cannot be read: Permission denied")),
        ),
    },
    prove.allocator_serves("jemalloc"): {
        "allocator that another one took the place of": (
            seen(memory=replace(SERVED, counted={"jemalloc": 2**30}, tensor_counted={"jemalloc": 2**26})),
            seen(memory=SERVED),
        ),
    },
    prove.in_huge_pages(): {
        "huge pages": (seen(memory=SERVED), seen(memory=replace(SERVED, large_advised=39 * 2**20))),
        "huge pages now": (seen(memory=SERVED), seen(memory=replace(SERVED, tensor_advised=False))),
        "huge pages in every rank": (
            proof(seen(memory=SERVED), seen(memory=SERVED)),
            proof(seen(memory=SERVED), seen(memory=replace(SERVED, large_advised=0))),
        ),
        "huge pages where the kernel does not tell": (
            seen(memory=SERVED),
            seen(memory=Memory(unread="/proc/self/smaps cannot be read: Permission denied")),
        ),
    },
    prove.in_reserved_huge_pages(): {
        "reserved huge pages": (seen(memory=replace(SERVED, large_reserved=80 * 2**20, tensor_reserved=True)), seen(memory=SERVED)),
    },
    prove.small_products_elsewhere(): {
        "small products": (
            seen(small_products=SmallProducts(layers=3, in_onednn=0)),
            seen(small_products=SmallProducts(layers=3, in_onednn=3)),
        ),
        "small products not seen": (seen(small_products=SmallProducts(layers=3, in_onednn=0)), seen()),
    },
    prove.other_openmp_serves(): {
        "another OpenMP runtime": (
            of_two_threads(seen(openmp_threads={"libiomp5.so": 1})),
            of_two_threads(seen(openmp_threads={"libgomp.so.1": 1})),
        ),
        "one OpenMP runtime of two": (
            of_two_threads(seen(openmp_threads={"libomp.so.5": 1})),
            of_two_threads(seen(openmp_threads={"libomp.so.5": 1, "libgomp.so.1": 1})),
        ),
        "OpenMP not seen": (of_two_threads(seen(openmp_threads={"libomp.so.5": 1})), of_two_threads(seen())),
    },
    prove.idle_between_calls(): {
        "between calls": (
            of_two_threads(seen(busy_between_calls=0.01, busy_by_default=0.9)),
            of_two_threads(seen(busy_between_calls=0.8, busy_by_default=0.9)),
        ),
        "between calls, not seen": (
            of_two_threads(seen(busy_between_calls=0.01, busy_by_default=0.9)),
            of_two_threads(seen(busy_between_calls=0.01)),
        ),
    },
    prove.no_portable_kernels(): {
        "by XNNPACK": (
            ran(layer("f32", implementation="xnnpack:igemm")),
            ran(layer("f32", implementation="xnnpack:igemm"), layer("f32", implementation="portable:ref")),
        ),
    },
    prove.weights_halved(): {
        "weights in 16 bits": (seen(half_weights_share=0.99), seen(half_weights_share=0.0)),
        "weights not seen": (seen(half_weights_share=1.0), seen(half_weights_share=None)),
    },
    prove.subnormals_flushed(): {
        "subnormals": (seen(subnormals=subnormals(activations=0)), seen(subnormals=subnormals(activations=900))),
        "subnormals in all threads": (
            seen(subnormals=subnormals(activations=0)),
            seen(subnormals=subnormals(activations=0, flushed_share=0.5)),
        ),
    },
    prove.primitives_cached(): {
        "cache": (seen(cache_hits=20, cache_misses=0), seen(cache_hits=20, cache_misses=1)),
        "cache in use": (seen(cache_hits=1, cache_misses=0), seen(cache_hits=None, cache_misses=None)),
    },
    prove.bf16_inside_f32(): {
        "fast math": (
            ran(kernel("bf16", formats="src:f32:acdb attr-fpmath:bf16"), kernel("f32")),
            ran(kernel("f32", formats="src:f32:acdb attr-fpmath:bf16")),
        ),
        "fast math is not autocast": (
            ran(kernel("bf16", formats="src:f32:acdb wei:bf16:x")),
            ran(kernel("bf16", formats="src:bf16:acdb wei:bf16:x")),
        ),
        "fast math for most layers": (
            ran(layer("bf16", 27, 3.0, formats="src:f32 attr-fpmath:bf16"), layer("f32", 27, 3.0), layers=54),
            ran(layer("bf16", 1, 3.0, formats="src:f32 attr-fpmath:bf16"), layer("f32", 53, 3.0), layers=54),
        ),
    },
    prove.outputs_differ(): {
        "outputs": (proof(seen(), without_db=50.0), proof(seen(), without_db=200.0)),
        "outputs that fp32 rounds otherwise": (proof(seen(), without_db=60.0), proof(seen(), without_db=119.0)),
        "outputs of a run without the setting": (proof(seen(), without_db=50.0), seen()),
    },
    prove.generated_code(): {
        "generated code": (seen(counters={"fxgraph_cache_hit": 1, "generated_modules": 1}), seen(counters={}, graphs=1)),
        "generated code that is loaded": (
            seen(counters={"fxgraph_cache_miss": 1, "generated_modules": 1}),
            seen(counters={"fxgraph_cache_miss": 1}),
        ),
    },
    prove.operators_fused(): {
        "fused operators": (
            seen(operators={"Conv": 20, "Relu": 17}, counters={"Conv": 20, "ReorderOutput": 1}, fusible=17),
            seen(operators={"Conv": 20, "Relu": 17}, counters={"Conv": 20, "Relu": 17, "ReorderOutput": 1}, fusible=17),
        ),
        "operators fused under another name": (
            seen(operators={"MatMul": 20, "Softmax": 17}, counters={"FusedMatMul": 20, "Softmax": 17}, fusible=0),
            seen(operators={"MatMul": 20, "Add": 20}, counters={"MatMul": 20, "Add": 20}, fusible=20),
        ),
        "operators that are fused, and not just taken apart": (
            seen(
                operators={"Conv": 20, "HardSwish": 9, "Relu": 5},
                counters={"Conv": 20, "HardSigmoid": 9, "Mul": 9, "ReorderOutput": 1},
                fusible=5,
            ),
            seen(
                operators={"Conv": 20, "HardSwish": 9, "Relu": 5}, counters={"Conv": 20, "HardSigmoid": 9, "Mul": 9, "Relu": 5}, fusible=5
            ),
        ),
        "nothing to fuse": (
            seen(operators={"Gather": 2}, counters={"Gather": 2}, fusible=0),
            seen(operators={"Gather": 2}, counters={}, fusible=0),
        ),
    },
    prove.one_graph(): {
        "graph": (seen(graphs=1, graph_breaks=0), seen(graphs=1, graph_breaks=1)),
        "one graph": (seen(graphs=1, graph_breaks=0), seen(graphs=2, graph_breaks=0)),
    },
    prove.weights_packed("conv_pack", "linear_pack"): {
        "packing": (seen(counters={"linear_pack": 1}), seen(counters={"conv_pack": 0, "pattern_matcher_count": 99})),
        "packing of most layers": (
            seen(counters={"conv_pack": 26, "linear_pack": 1}, layers=54),
            seen(counters={"linear_pack": 1}, layers=54),
        ),
    },
    prove.weights_packed("conv_pack"): {
        "packing without reordering": (
            seen(counters={"conv_pack": 53}, layers=54, weight_reorders=1),
            seen(counters={"conv_pack": 53}, layers=54, weight_reorders=53),
        ),
    },
    prove.autotuned(): {
        "autotuning": (
            ran(layer("bf16", implementation="inductor:CppMicroGemmFP32Vec"), counters={"autotuned_products": 1}),
            seen(counters={"autotuned_products": 0}, settings={"max_autotune": "True"}),
        ),
    },
    prove.never_traced(): {
        "never traced": (seen(graphs=0), seen(graphs=1)),
        "never traced unknown": (seen(graphs=0), seen(graphs=None)),
    },
    prove.attention_in_one(): {
        "attention": (seen(counters={"Attention": 2}), seen(counters={"Softmax": 2, "MatMul": 4})),
        "most of the attention": (
            ran(layer("f32", 8), msgspec.structs.replace(kernel("f32", operation="matmul"), count=4), counters={"Attention": 2}),
            ran(layer("f32", 8), msgspec.structs.replace(kernel("f32", operation="matmul"), count=22), counters={"Attention": 1}),
        ),
    },
    prove.integer_products(): {
        "integers": (
            seen(counters={"MatMulIntegerToFloat": 3, "DynamicQuantizeMatMul": 3, "MatMul": 9}, quantizable=6),
            seen(counters={"QLinearMatMul": 6}, quantizable=6),
        ),
        "integers for most layers": (
            seen(counters={"MatMulIntegerToFloat": 3}, quantizable=6),
            seen(counters={"MatMulIntegerToFloat": 2}, quantizable=6),
        ),
    },
    prove.workers_apart(): {
        "ranks apart": (
            proof(seen(cpus=[0], threads=1), seen(cpus=[1], threads=1)),
            proof(seen(cpus=[0], threads=1), seen(cpus=[0], threads=1)),
        ),
        "ranks not oversubscribed": (
            proof(seen(cpus=[0], threads=1), seen(cpus=[1], threads=1)),
            replace(proof(seen(cpus=[0]), seen(cpus=[1])), job=msgspec.structs.replace(JOB, threads=2)),
        ),
        "ranks on cores of their own": (
            replace(proof(seen(cpus=[0]), seen(cpus=[1])), cores=((0, 2), (1, 3))),
            replace(proof(seen(cpus=[0]), seen(cpus=[2])), cores=((0, 2), (1, 3))),
        ),
        "all ranks there": (
            proof(seen(cpus=[0], threads=1), seen(cpus=[1], threads=1), workers=2),
            proof(seen(cpus=[0], threads=1), workers=2),
        ),
    },
    prove.streams_in_force(): {
        "streams": (
            seen(settings={"NUM_STREAMS": "2", "OPTIMAL_NUMBER_OF_INFER_REQUESTS": "2"}, requests_in_flight=1.9),
            seen(settings={"NUM_STREAMS": "2", "OPTIMAL_NUMBER_OF_INFER_REQUESTS": "2"}, requests_in_flight=1.0),
        ),
    },
}


@pytest.mark.parametrize(
    ("claim", "borne_out", "broken"),
    [pytest.param(claim, *pair, id=name) for claim, pairs in CASES.items() for name, pair in pairs.items()],
)
def test_claim_holds_where_it_was_observed_and_nowhere_else(
    claim: Claim, borne_out: Observations | Proof, broken: Observations | Proof
) -> None:
    """A claim is borne out by what was seen, not by what was asked for; either way it says what was seen."""
    [held], [failed] = (examine([claim], proof(each) if isinstance(each, Observations) else each) for each in (borne_out, broken))

    assert held.holds
    assert not failed.holds
    assert held.claim == failed.claim == claim.text
    assert held.observed
    assert failed.observed


NOTHING_CHANGED: list[tuple[str, Claim, Observations]] = [
    ("no template won", prove.autotuned(), seen(counters={"autotuned_products": 1})),
    (
        "one stream and one request",
        prove.streams_in_force(),
        seen(
            settings={"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": "1", "OPTIMAL_NUMBER_OF_INFER_REQUESTS": "1"}, requests_in_flight=1.0
        ),
    ),
    ("no small product", prove.small_products_elsewhere(), seen(small_products=SmallProducts(layers=0, in_onednn=0))),
    ("one thread has no team", prove.other_openmp_serves(), seen(openmp_threads={})),
    ("one thread waits for nobody", prove.idle_between_calls(), seen(busy_between_calls=0.0, busy_by_default=0.0)),
    ("nothing to flush", prove.subnormals_flushed(), seen(subnormals=subnormals(0, weights=0, unflushed_activations=0))),
    ("nothing to pack", prove.weights_packed("conv_pack"), seen(counters={}, layers=0)),
    ("nothing to lower", prove.kernels_in("bf16"), seen(kernels=[])),
    ("nothing to quantize", prove.int8_kernels(), seen(kernels=[])),
    ("nothing to quantize per channel", prove.weights_per_channel(), seen(quantizable=0)),
    (
        "convolutions, which a dynamic INT8 leaves as they are",
        prove.where_layers_are_linear(prove.ranges_in_each_call()),
        ran(layer("f32", 50, 99.0), layer("int8", 1, 1.0, operation="matmul")),
    ),
    (
        "nothing but a patch embedding to lay out",
        prove.channels_last_in_force(),
        laid_out(layer("f32", 1, 1.0, formats="src:f32:acdb"), layer("f32", 48, 99.0, operation="matmul")),
    ),
]


@pytest.mark.parametrize(("claim", "idle"), [case[1:] for case in NOTHING_CHANGED], ids=[case[0] for case in NOTHING_CHANGED])
def test_what_can_change_nothing_is_neither_proved_nor_refused(claim: Claim, idle: Observations) -> None:
    """The step is skipped with what was seen."""
    [item] = examine([claim], replace(proof(idle), no_products=not idle.kernels))
    with pytest.raises(NothingChangedError, match="nothing changed: "):
        require("step", "model", [item], own=[claim])

    assert item.remedy


def test_the_worst_rank_is_shown() -> None:
    """With its number, where the ranks differ."""
    [item] = examine([prove.kernels_in("bf16")], proof(seen(kernels=[layer("bf16")]), seen(kernels=[layer("f32")])))

    assert item.observed == "rank 1: f32 100.0%; 0 of 1 layers, 0.0% of their FLOPs"


def test_layers_without_a_report_are_named_in_fp32_and_count_below() -> None:
    """What a claim rests on is in its text: PyTorch's own kernels report nothing."""
    [of_fp32] = examine([prove.kernels_in("f32")], proof(seen(kernels=[layer("f32")], layers=3)))
    [of_bf16] = examine([prove.kernels_in("bf16")], proof(seen(kernels=[layer("bf16")], layers=3)))

    assert (True, "2 of 3 layers report no kernel, as PyTorch's own do") == (of_fp32.holds, of_fp32.observed.rpartition("; ")[2])
    assert not of_bf16.holds
    assert "1 of 3 layers" in of_bf16.observed


def test_products_that_nobody_reports_are_named_in_fp32_and_prove_nothing_below() -> None:
    """On Arm a row of a product is OpenBLAS's, which prints no call: a decoder that takes one token may show no kernel at all."""
    silent = proof(seen(layers=3, half_weights_share=0.0, silent_products=True))

    holds, observed = prove.kernels_in("f32").check(silent)

    assert (True, "3 of 3 layers report no kernel, as PyTorch's own do; the weights lie in 32 bits") == (holds, observed)
    assert not any(claim.check(silent)[0] for claim in (prove.kernels_in("bf16"), prove.kernels_in("f16"), prove.int8_kernels()))


@pytest.mark.parametrize(("covered", "found"), [(0.49, 1), (0.5, 0), (1.1, 0), (1.11, 1), (None, 0)])
def test_kernel_times_that_do_not_add_up_are_a_finding(covered: float | None, found: int) -> None:
    """Too little has not reported itself, too much has counted twice."""
    assert len(findings(seen(kernel_coverage=covered))) == found


def test_every_constructor_of_claims_is_tested() -> None:
    """A claim that is added without a case here is noticed."""
    constructors = {
        name for name, value in vars(prove).items() if callable(value) and getattr(value, "__annotations__", {}).get("return") is Claim
    }
    tested = {claim.check.__qualname__.partition(".")[0] for claim in CASES}

    assert constructors == tested


def test_observed_shares_are_shown_in_percent() -> None:
    """What was seen is readable without the raw record."""
    [item] = examine([prove.kernels_in("bf16")], proof(seen(kernels=[kernel("bf16", 3), kernel("f32", 1)])))

    assert item.observed == "bf16 75.0%, f32 25.0%"


def test_int8_names_the_operation_that_stayed_in_floating_point() -> None:
    """The message tells convolutions from matrix products, and how many layers were quantized."""
    kernels = [kernel("int8", 5), kernel("f32", 3, operation="matmul")]
    [item] = examine([prove.int8_kernels()], proof(seen(kernels=kernels, quantizable=21, quantized=20)))

    assert item.observed == "convolution: int8 100.0%; matmul: f32 100.0%; 1 int8 kernels for 21 layers with weights"


def test_requirement_names_every_claim_that_does_not_hold() -> None:
    """The error says which step, on which model, what was claimed and what was seen."""
    evidence = [
        Evidence(claim="runs bf16", observed="f32 100%", holds=False),
        Evidence(claim="eval mode", observed="yes", holds=True),
        Evidence(claim="batch 8", observed="batch 1", holds=False),
    ]
    with pytest.raises(ProofError) as raised:
        require("bf16_autocast", "timm:vit", evidence)

    assert str(raised.value) == (
        "step 'bf16_autocast' on timm:vit was not in force; runs bf16: f32 100%; batch 8: batch 1. Nothing is recorded; "
        "see docs/evidence.md"
    )


def test_control_that_takes_no_layer_out_changes_nothing() -> None:
    """Plain INT8 is accurate enough: the remedy names it."""
    holds, observed = prove.accuracy_controlled().check(proof(seen(controlled=controlled(20, after=20))))

    assert NothingChanged("take openvino_int8") == holds
    assert "all layers may stay in int8: 20 layers in int8, 20 without control" in observed


IDLE = Claim("packing", "weights are packed", lambda _: (NothingChanged("give it layers"), "no layer with weights"))
BROKEN = Claim("mode", "eval mode", lambda _: (False, "training"))


def test_a_step_that_had_nothing_to_change_is_no_failure_and_no_figure() -> None:
    """It says so with the remedy; what is broken beside it comes first."""
    with pytest.raises(NothingChangedError, match="nothing changed: no layer with weights") as raised:
        require("compile_freezing", "timm:vit", examine([IDLE], proof(seen())), own=[IDLE])
    assert raised.value.remedy == "give it layers"

    with pytest.raises(ProofError, match="eval mode: training"):
        require("compile_freezing", "timm:vit", examine([IDLE, BROKEN], proof(seen())), own=[IDLE])


def test_what_several_claims_saw_alike_is_said_once() -> None:
    claims = [IDLE, replace(IDLE, text="another")]
    with pytest.raises(NothingChangedError) as raised:
        require("compile_freezing", "timm:vit", examine(claims, proof(seen())), own=claims)

    assert "nothing changed: no layer with weights" == str(raised.value)


def test_a_step_below_that_had_nothing_to_change_is_shown_in_the_steps_above() -> None:
    """They are judged by their own claims."""
    evidence = examine([IDLE], proof(seen()))
    require("aot_inductor", "timm:vit", evidence, own=())

    assert [(item.observed, item.remedy) for item in evidence] == [("no layer with weights", "give it layers")]


def test_evidence_that_holds_requires_nothing() -> None:
    """No error where all is well."""
    require("baseline", "timm:vit", [Evidence(claim="eval mode", observed="yes", holds=True)])


@pytest.mark.parametrize("implementation", ["ref:any", "ref", "gemm:ref", "gemm_s8u8s32:ref", "simple:ref", "inductor:CppMicroGemmRef"])
def test_reference_kernels_are_a_finding(implementation: str) -> None:
    """Heavy work in an unoptimized kernel is worth a warning with its share of time."""
    observations = seen(kernels=[kernel("f32", 1, implementation=implementation), kernel("f32", 3)], findings=["one more"])

    assert findings(observations) == ["one more", f"convolution runs the reference kernel {implementation} (25% of heavy kernel time)"]


@pytest.mark.parametrize("implementation", ["brg_conv_fwd:avx512_core", "indirect_gemm:acl", "jit:prefetch", "jit_referenced"])
def test_other_kernels_are_no_finding(implementation: str) -> None:
    """`ref` is a part of the name, not any three letters of it."""
    assert findings(seen(kernels=[kernel("f32", implementation=implementation)])) == []
    assert findings(seen(kernels=[kernel("f32", operation="reorder", implementation="ref:any")])) == []


@pytest.mark.parametrize(("activations", "found"), [(0, 0), (5, 0), (6, 1)])
def test_subnormal_activations_are_a_finding_from_a_thousandth_on(activations: int, found: int) -> None:
    """Fewer cost nothing that one could measure."""
    assert found == sum("subnormal" in text for text in findings(seen(subnormals=subnormals(activations))))


def test_a_model_without_products_says_so_and_only_by_the_count() -> None:
    """No kernel and no layer of a known kind are no proof: products may be hidden. Where a product runs, its precision is judged."""
    nothing = "no convolution or matrix product in this model: nothing to prove it on"
    for claim in (prove.kernels_in("f32"), prove.kernels_in("bf16"), prove.int8_kernels()):
        counted = replace(proof(seen(kernels=[], layers=0)), no_products=True)
        assert claim.check(counted)[1] == nothing
        holds, observed = claim.check(proof(seen(kernels=[], layers=0)))
        assert (holds, nothing in observed) == (False, False)
        assert claim.check(replace(proof(seen(kernels=[kernel("f16")])), no_products=True))[0] is False
