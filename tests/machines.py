"""Machines to test with: what a step asks of the machine, without having it."""

from dataclasses import replace

from fixtures.machine import Machine
from fixtures.machine.cpus import Cpus

X86 = Machine(
    architecture="x86_64",
    cpu_model="AMD EPYC",
    cpu_part="26-2-1",
    features=("bf16", "int8_dot", "avx2", "avx512"),
    cpus=Cpus(allowed=(0, 1), cores=((0,), (1,)), nodes=((0, 1),)),
    memory_bytes=16 * 2**30,
    memory_limit_bytes=None,
    kernel="6.1.0",
    thp_mode="madvise",
    instance_type="",
    emulated=False,
)
GRAVITON3 = replace(
    X86,
    architecture="aarch64",
    cpu_model="Neoverse V1 (Graviton3)",
    cpu_part="0xd40",
    features=("bf16", "f16", "int8_dot", "int8_matmul", "sve"),
    instance_type="c7g.4xlarge",
)
GRAVITON2 = replace(
    GRAVITON3, cpu_model="Neoverse N1 (Graviton2)", cpu_part="0xd0c", features=("f16", "int8_dot"), instance_type="c6g.xlarge"
)
