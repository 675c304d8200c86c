"""Which layers a tensor was computed by."""

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from warptheory.core.torch_internals import tree_leaves


class Ancestry(TorchFunctionMode):
    """Knows of every tensor by which layers it was computed, while it is entered; layers are numbers.

    What autograd functions outside of any module return begins anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and let its output inherit of its arguments."""
        output = func(*args, **(kwargs or {}))
        self.pass_on((args, kwargs), output)
        return output

    def pass_on(self, inputs: Any, outputs: Any, *layers: int) -> None:
        """Say that outputs were computed of inputs, by some layers; both are tensors in any containers."""
        found = [each for each in tree_leaves(outputs) if isinstance(each, Tensor)]
        if found:
            inherited = self.of(inputs).union(layers)
            for each in found:
                self._known[each] = self.of(each) | inherited

    def of(self, tensors: Any) -> frozenset[int]:
        """Return the layers by which tensors, in any containers, were computed."""
        known = [self._known[each] for each in tree_leaves(tensors) if isinstance(each, Tensor) and each in self._known]
        return frozenset().union(*known)
