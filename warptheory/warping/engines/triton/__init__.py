"""The linear kernel on a GPU, in Triton.

engine       which calls it takes; loads without Triton, an optional dependency
_operator    gather, scatter and gradients on tensors: layouts, block sizes, launches
_kernels     what one program does with its block of pixels
"""
