"""Watching a model: every sampling operation that runs in it is reported, with the module in which it ran.

Watching uses what torch offers for it: a function mode, which sees calls of functions whoever makes them, and hooks of
modules, which say where the calls are made. Only autograd functions, which no mode sees, are replaced meanwhile.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from warptheory.core.errors import UnknownNameError
from warptheory.stability._sampling._call import AutogradSource, FunctionSource, Place, SamplingCall
from warptheory.stability._sampling._hooks import ModuleHook
from warptheory.stability._sampling._layouts import Lattice, OffsetOutput
from warptheory.stability._sampling._readable import is_readable
from warptheory.stability._sampling.sources import all_sources

OnCall = Callable[[Place, nn.Module, SamplingCall], None]
OnModule = Callable[[str, nn.Module, Any, Any], None]


def check_modules(model: nn.Module, modules: Mapping[str, OffsetOutput] | None) -> Mapping[str, OffsetOutput]:
    """Check that every named module exists, and return the mapping.

    Raises:
        UnknownNameError: no module of that name.
    """
    known = dict(model.named_modules())
    for name in modules or {}:
        if name not in known:
            raise UnknownNameError("modules", name, known)
    return modules or {}


class Watch:
    """Reports the sampling operations of a model between `start` and `stop`; a context manager that does both.

    A call whose numbers cannot be read, because it is traced, batched by vmap or has shapes alone, is not reported.

    Attributes:
        has_seen_calls: whether any operation ran, reported or not.

    Args:
        model: the model.
        on_call: called after each operation, with its place, the innermost module that was running, and the call.
        modules: modules whose outputs are offsets, by name.
        on_module: called after each module, with its name, itself, its positional arguments and its output.
    """

    def __init__(
        self,
        model: nn.Module,
        on_call: OnCall,
        modules: Mapping[str, OffsetOutput],
        on_module: OnModule | None = None,
    ) -> None:
        self.has_seen_calls = False
        self._model = model
        self._on_call = on_call
        self._modules = modules
        self._on_module = on_module
        self._running: list[tuple[str, nn.Module]] = []
        self._counts: Counter[str] = Counter()
        self._undo = ExitStack()
        self._is_inside = False

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to watch, in this thread."""
        self._running = [("", self._model)]
        self._counts.clear()
        with ExitStack() as stack:
            for name, module in self._model.named_modules():
                if name:
                    self._follow(stack, name, module)
            sources = all_sources()
            for source in sources:
                if isinstance(source, AutogradSource):
                    self._replace_forward(stack, source)
            readers = {source.function: source.read for source in sources if isinstance(source, FunctionSource)}
            stack.enter_context(_Listener(readers, self._report))
            self._undo = stack.pop_all()

    def stop(self) -> None:
        """Take everything back that `start` did."""
        self._undo.close()
        self._running = []

    def _follow(self, stack: ExitStack, name: str, module: nn.Module) -> None:
        """Know when a module runs; if it fails as well."""

        def enter(*_: Any) -> None:
            self._running.append((name, module))

        def leave(_: nn.Module, inputs: Any, output: Any) -> None:
            self._running.pop()
            if self._on_module is not None:
                self._on_module(name, module, inputs, output)
            if name in self._modules and is_readable(output):
                layout = self._modules[name]
                call = SamplingCall("module output", None, None, output, layout, Lattice.unit(layout.dim))
                self._announce(name, module, call)

        stack.callback(module.register_forward_pre_hook(ModuleHook(enter)).remove)
        stack.callback(module.register_forward_hook(ModuleHook(leave), always_call=True).remove)

    def _replace_forward(self, stack: ExitStack, source: AutogradSource) -> None:
        original = source.function.__dict__["forward"]

        def forward(ctx: Any, *arguments: Any) -> Any:
            self._is_inside = True
            try:
                output = original.__func__(ctx, *arguments)
            finally:
                self._is_inside = False
            self._report(source.read, output, arguments, {})
            return output

        source.function.forward = staticmethod(forward)  # type: ignore[method-assign]
        stack.callback(setattr, source.function, "forward", original)

    def _report(self, read: Callable[..., SamplingCall], output: Any, arguments: Any, keywords: Any) -> None:
        """Announce a call of numbers, unless it is part of one that is announced as a whole."""
        if self._is_inside:
            return
        self.has_seen_calls = True
        tensors = [each for each in (*arguments, *keywords.values()) if isinstance(each, Tensor)]
        if all(map(is_readable, (output, *tensors))):
            self._announce(*self._running[-1], read(output, *arguments, **keywords))

    def _announce(self, name: str, module: nn.Module, call: SamplingCall) -> None:
        place = Place(name, self._counts[name], sum(self._counts.values()))
        self._counts[name] += 1
        with torch.no_grad():
            self._on_call(place, module, call)


class _Listener(TorchFunctionMode):
    """Passes every function on as it came, and reports those that have a reader."""

    def __init__(self, readers: Mapping[Any, Callable[..., SamplingCall]], report: Callable[..., None]) -> None:
        super().__init__()
        self._readers = readers
        self._report = report

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function; what is called meanwhile, by it or by the report, does not come here."""
        output = func(*args, **(kwargs or {}))
        reader = self._readers.get(func)
        if reader is not None:
            self._report(reader, output, args, kwargs or {})
        return output
