"""The allocator of a process that works on large tensors."""

from functools import cache

import torch


@cache
def keep_freed_memory() -> None:
    """Let the allocator keep what is freed, once per process, as it does in any process that freed a large tensor.

    Until then glibc returns the memory of each to the system, and to touch its pages anew costs as much as to compute
    what is written there.
    """
    torch.empty(2**23 - 2**12).fill_(0.0)  # just below 32 MiB, the largest size that glibc learns from
