"""Modules that run as a program, which makes no calls that could be seen."""

import torch
from torch import nn

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
