"""Compiled loops on torch's memory.

engine          which loop takes a call
linear          the linear kernel: layouts, cuts, launches; `gathering` and `differentiating` are its loops,
`problem` and `plan` where they read, `channels` what they do with the channels of a pixel,
`functions` the C functions made of them
separable       every other compact kernel, and derivatives of any order; `polynomials` works out its weights
"""
