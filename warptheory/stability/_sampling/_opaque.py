"""What runs in a model and cannot be seen: modules that run as a program, and the warnings of what was missed."""

import warnings

import torch
from torch import nn
from torch.autograd.function import FunctionCtx

from warptheory.operators import SamplingOperator


def is_script(module: nn.Module) -> bool:
    """Return whether a module is TorchScript, scripted or traced: it takes no hooks."""
    return isinstance(module, torch.jit.ScriptModule)


def scripts(model: nn.Module) -> list[str]:
    """Return the names of the parts of a model that are TorchScript, the outermost of each."""
    found: list[str] = []
    for name, module in model.named_modules():
        if is_script(module) and not any(name.startswith(_prefix(outer)) for outer in found):
            found.append(name)
    return found


def compiled_operators(model: nn.Module) -> list[str]:
    """Return the names of this library's operators in parts of a model that `torch.compile` runs."""
    programs = [name for name, module in model.named_modules() if _is_compiled(module)]
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, SamplingOperator)
        and any(name == outer or name.startswith(_prefix(outer)) for outer in programs)
    ]


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


def unseen(names: list[str]) -> str:
    """Return what a warning says of parts that are not seen."""
    listed = ", ".join(repr(name) if name else "the model itself" for name in names)
    return (
        f"not seen: what samples inside {listed}, which is TorchScript; "
        "a module that is not, and whose output is offsets, can be named by modules="
    )


class NotSeen:
    """Warns, once each, of what ran in a model and cannot be recorded.

    Attributes:
        steps_ran: whether steps ran that should have been recorded, without a failure.
        recorded: layers in which something was recorded.
    """

    def __init__(self, model: nn.Module) -> None:
        self.steps_ran = False
        self.recorded: set[str] = set()
        self._model = model
        self._told: set[str] = set()

    def tell_scripts(self) -> None:
        """Warn of parts that are TorchScript."""
        programs = scripts(self._model)
        if programs:
            self._tell(unseen(programs))

    def tell_no_gradients(self, layer: str, function: FunctionCtx | None) -> None:
        """Warn of an operation that ran without gradients inside an autograd function, if it did."""
        if function is not None:
            self._tell(
                f"no gradients are seen of layer {layer!r}, which ran without them inside the autograd "
                f"function {type(function).__name__}: a re-entrant checkpoint of another library, if it is one"
            )

    def tell_missed(self, has_seen_calls: bool) -> None:
        """Warn if steps ran and no operation was seen, or none of an operator that torch compiles."""
        if self.steps_ran and not has_seen_calls:
            self._tell(
                "the monitor saw no sampling operation: not seen is what runs inside a program (torch.compile, "
                "TorchScript) or in other threads, and what a model computes by other means than the operations that "
                "are known; modules whose outputs are offsets can be named by modules="
            )
            return
        missed = [name for name in compiled_operators(self._model) if self.recorded and name not in self.recorded]
        if missed:
            self._tell(f"the monitor has not seen {', '.join(map(repr, missed))}, which torch.compile runs")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=4)
