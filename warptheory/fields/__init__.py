"""Random inputs: laws of single pixels, fields of independent pixels, real photographs."""

from warptheory.fields import laws, photographs
from warptheory.fields.iid import IID
from warptheory.fields.laws import Law

__all__ = ["IID", "Law", "laws", "photographs"]
