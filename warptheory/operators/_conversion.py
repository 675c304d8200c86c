"""Models between libraries: layers that are known are replaced by those of this library, or back, and listed."""

import copy
import importlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from warptheory.core import html
from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented
from warptheory.core.torch_internals import has_listeners
from warptheory.operators._entry import Counterpart, get, names

_TARGETS = ("warptheory", "original")


@dataclass(frozen=True)
class ConvertedLayer:
    """What became of a layer that is known.

    Attributes:
        layer: dotted name in the model, empty for the model itself.
        found: dotted name of the class that it had.
        made: dotted name of the class that it has now.
        kept: why it was left as it was; empty if it was replaced.
    """

    layer: str
    found: str
    made: str
    kept: str = ""

    def __str__(self) -> str:
        outcome = f"kept: {self.kept}" if self.kept else f"→ {self.made}"
        return f"{self.layer or 'the model itself'}: {self.found} {outcome}"


@dataclass(frozen=True, eq=False)
class Conversion(Presented):
    """A converted model, and what was changed.

    Attributes:
        model: a copy of the model, in which layers are replaced.
        changes: the layers that are known, in the order of the model.
    """

    model: nn.Module
    changes: tuple[ConvertedLayer, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no layer is known"

    def _parts(self) -> Iterable[str]:
        replaced = sum(not each.kept for each in self.changes)
        return [type(self.model).__name__, f"replaced={replaced}", f"kept={len(self.changes) - replaced}"]

    def _card(self) -> Iterable[object]:
        columns = [html.Column(name, is_text=True) for name in ("layer", "found", "made", "kept because")]
        rows = [(each.layer or "the model itself", each.found, each.made, each.kept) for each in self.changes]
        yield html.table(columns, rows)


def convert(model: nn.Module, to: str = "warptheory") -> Conversion:
    """Return a copy of a model in which layers of other libraries are ours, or ours are those of the originals.

    Parameters, buffers, training modes and what requires a gradient carry over, and so does the output; parameters that
    layers share stay shared where both sides hold them alike. Layers are
    recognised by their exact class; a layer that uses what the other side does not have is kept, with the reason.
    Calls of `torch.nn.functional.grid_sample` are no layers: `convert_grid_sample` replaces them while it is entered.

    Args:
        model: any torch model; it stays as it is.
        to: "warptheory", or "original" for the libraries that the layers come from, which have to be installed.

    Raises:
        ArgumentError: not a model.
        UnknownNameError: no such direction.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", expected="a torch module", received=type(model).__name__)
    check_known("to", to, _TARGETS)
    change = _Change(to)
    converted = change.of(copy.deepcopy(model), "")
    return Conversion(converted, tuple(change.made))


class _Change:
    """Replaces the layers of one model; a layer that is used twice is replaced once."""

    def __init__(self, to: str) -> None:
        known = [each for name in names() for each in get(name).counterparts]
        self._to_ours = to == "warptheory"
        self._known: dict[str, list[Counterpart]] = {}
        for each in known:
            self._known.setdefault(each.original if self._to_ours else class_name(each.ours), []).append(each)
        self._done: dict[nn.Module, nn.Module] = {}
        self.made: list[ConvertedLayer] = []

    def of(self, layer: nn.Module, name: str) -> nn.Module:
        """Return what a layer, or its children, become."""
        if layer not in self._done:
            found = self._known.get(class_name(type(layer)))
            self._done[layer] = self._replaced(layer, name, found) if found else self._with_children(layer, name)
        return self._done[layer]

    def _with_children(self, layer: nn.Module, name: str) -> nn.Module:
        # A child that has two names comes twice, unlike in `named_children`.
        below = [each for each in layer.named_modules(remove_duplicate=False) if each[0] and "." not in each[0]]
        for key, child in below:
            setattr(layer, key, self.of(child, f"{name}.{key}" if name else key))
        return layer

    def _replaced(self, layer: nn.Module, name: str, known: list[Counterpart]) -> nn.Module:
        found, reason, target = class_name(type(layer)), "", ""
        for each in known:
            target = class_name(each.ours) if self._to_ours else each.original
            try:
                made = each.to_ours(layer) if self._to_ours else each.to_original(layer, imported(each.original))
            except Exception as error:  # whatever another library's layer is like, the others are converted
                reason = str(error) if isinstance(error, ArgumentError | ImportError) else repr(error)
                continue
            _carry_over(layer, made, name)
            self.made.append(ConvertedLayer(name, found, target))
            return made
        self.made.append(ConvertedLayer(name, found, found, reason))
        return layer


def _carry_over(old: nn.Module, new: nn.Module, name: str) -> None:
    """Give a layer the device, dtype, mode and parameters of another one, which is used no longer."""
    if has_listeners(old):
        warnings.warn(f"hooks of layer {name!r} are not carried over", stacklevel=5)
    some = next((each for each in (*old.parameters(), *old.buffers()) if each.is_floating_point()), None)
    if some is not None:
        new.to(device=some.device, dtype=some.dtype)
    new.train(old.training)
    before = dict(old.named_parameters())
    for key, parameter in list(new.named_parameters()):
        same = before.get(key)
        if same is None:
            continue
        if same.dtype == parameter.dtype and torch.equal(same, parameter):
            # The very parameter, which other layers may share.
            owner, _, leaf = key.rpartition(".")
            setattr(new.get_submodule(owner), leaf, same)
        else:
            parameter.requires_grad_(same.requires_grad)


def class_name(kind: type) -> str:
    """Return the dotted name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def imported(dotted: str) -> type:
    """Import a class by its dotted name.

    Raises:
        ImportError: there is none, or its package is not installed.
    """
    module, _, name = dotted.rpartition(".")
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, type):
        raise ImportError(f"no class {dotted}")
    return found
