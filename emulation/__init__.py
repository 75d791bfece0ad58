"""An emulated Graviton: the ladder's own code on real aarch64 wheels, under QEMU's user mode."""

IMAGE_SIZE = 32
VIT_IMAGE_SIZE = 16
LONGEST_ANSWER_S = 1800.0  # a C++ compiler and reference kernels, emulated
