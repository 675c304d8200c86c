"""Engines: what computes the operator, apart from its definition.

engine      the interface that all of them have; the reference, `warping.reference`, is one
cpu         compiled loops on torch's memory: the linear kernel, and the taps of any compact kernel
taps        the linear kernel at several taps of each pixel, weighed and mixed by filters, on the CPU
triton      the linear kernel on a GPU
thin        a convolution with few outputs, alone and together with the warp that it steers
machine     what compiled loops are made of: registers, memory, threads, compilation
layout      how images lie in memory
"""
