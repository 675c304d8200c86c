"""Counter-based random streams.

A stream is addressed, not consumed: (seed, label, chunk) fixes every number drawn from it. A result
therefore does not depend on how many workers ran, in which order, or after how many restarts.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError

# Philox has a 256-bit counter. The chunk fills its top 64 bits, so two chunks of one stream are
# 2**192 draws apart and cannot overlap.
_CHUNK_SHIFT = 192
_MAX_CHUNK = 2**64


@dataclass(frozen=True)
class Stream:
    """One random stream.

    Attributes:
        seed: the run's seed, any integer.
        label: what the numbers are for, such as "A4/variance"; different labels are independent.
        chunk: index of the chunk, 0 ≤ chunk < 2⁶⁴.
    """

    seed: int
    label: str
    chunk: int = 0

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, least=None)
        if not 0 <= self.chunk < _MAX_CHUNK:
            raise ArgumentError("chunk", expected="an integer in [0, 2**64)", received=self.chunk)

    def generator(self) -> np.random.Generator:
        """Return a NumPy generator at the start of this stream (Philox 4×64, Salmon et al. 2011)."""
        digest = hashlib.blake2b(f"{self.seed}\0{self.label}".encode(), digest_size=16).digest()
        key = int.from_bytes(digest, "little")
        return np.random.Generator(np.random.Philox(key=key, counter=self.chunk << _CHUNK_SHIFT))
