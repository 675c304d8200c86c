"""The heads: the last layers before positions, found by walking the graph back from them.

A head is a product of an input with parameters (a convolution, a matrix, a normalisation, a factor): with these at zero
the positions are those of the bias, the same for every input. Parameters that are positions themselves, such as learned
spacings, are no heads.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from warptheory.stability._diagnosis._offset_only import OffsetOnly
from warptheory.stability._diagnosis._trial import Attempt

_PRODUCTS = ("convolution", "mm", "norm", "linear", "dot", "mv")  # in names of nodes of the graph, in small letters


def head_names(trial: Attempt, positions: Iterable[Tensor], chosen: OffsetOnly) -> list[str]:
    """Return the names of the parameters whose being zero makes positions (B, *R) the same for every input.

    Args:
        trial: whose parameters they are.
        positions: tensors of positions with their graph.
        chosen: the offset-only parameters, among which heads are looked for.
    """
    names = {id(parameter): name for name, parameter in trial.parameters.items()}
    found: dict[str, None] = {}
    seen: set[Any] = set()
    waiting = [each.grad_fn for each in positions if each.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        children = [child for child, _ in node.next_functions if child is not None]
        factors = list(_factors(node, children, names, chosen))
        if factors:
            found.update(dict.fromkeys(factors))
        else:
            waiting.extend(children)
    return list(found)


def zeroed(trial: Attempt, heads: Iterable[str], chosen: OffsetOnly) -> dict[str, Tensor]:
    """Return the values of the heads with their offset-only entries (*S) at zero."""
    own = {name: trial.parameters[name].detach() for name in heads}
    return {name: value - part for (name, value), part in zip(own.items(), chosen.of(own).values(), strict=True)}


def _factors(node: Any, children: list[Any], names: dict[int, str], chosen: OffsetOnly) -> Iterator[str]:
    """Yield the parameters that a node of the graph multiplies with something else."""
    kind = node.name().lower()
    is_product = any(word in kind for word in _PRODUCTS)
    if not is_product and not ("mul" in kind and len(children) > 1):
        return
    behind = [(names.get(id(parameter)), parameter) for parameter in map(_parameter_behind, children)]
    mine = [(name, parameter) for name, parameter in behind if name is not None and name in chosen]
    # Of a product with a bias the bias stays; a normalisation has two vectors, of which the first is the factor.
    matrices = [name for name, parameter in mine if parameter is not None and parameter.ndim > 1]
    yield from matrices or [name for name, _ in mine[:1]]


def _parameter_behind(node: Any) -> nn.Parameter | Tensor | None:
    """Return the parameter that a node is, or a view of; None if it is neither."""
    while node is not None:
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            return variable
        behind = [child for child, _ in node.next_functions if child is not None]
        if len(behind) != 1 or not _is_view(node.name()):
            return None
        node = behind[0]
    return None


def _is_view(kind: str) -> bool:
    views = (
        "TBackward",
        "View",
        "Permute",
        "Transpose",
        "Reshape",
        "Unsqueeze",
        "Squeeze",
        "Expand",
        "ToCopy",
        "Alias",
    )
    return any(word in kind for word in views)


def is_zero(trial: Attempt, heads: Iterable[str], chosen: OffsetOnly) -> bool:
    """Return whether every head is at zero already."""
    values = {name: trial.parameters[name].detach() for name in heads}
    return all(not bool(torch.any(each)) for each in chosen.of(values).values())
