"""Watching a model: every sampling operation that runs in it is reported, with the module in which it ran.

Watching uses what torch offers for it: a function mode, which sees calls of functions whoever makes them, and hooks of
modules, which say where the calls are made. Only autograd functions, which no mode sees, are replaced meanwhile. It is
a matter of one thread: what others do with the model, as replicas of `DataParallel` do, is not seen.

A part of the model inside torch's re-entrant checkpoint runs twice: first without gradients, then in the backward pass,
the recomputation, when the same operations come in the same order.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointFunction

from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown
from warptheory.core.torch_internals import tree_leaves
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._sampling._call import AutogradSource, CallSite, FunctionSource, SamplingCall
from warptheory.stability._sampling._frames import ModuleHook
from warptheory.stability._sampling._gradients import is_in_backward
from warptheory.stability._sampling._opaque import is_script
from warptheory.stability._sampling._readable import harmless, is_readable
from warptheory.stability._sampling.sources import all_sources

OnCall = Callable[[CallSite, nn.Module, SamplingCall], Any]
OnModule = Callable[[str, nn.Module, Any, Any], None]


def check_modules(model: nn.Module, modules: Mapping[str, SamplingLayout] | None) -> Mapping[str, SamplingLayout]:
    """Check that every named module exists and can be watched, and return the mapping.

    Raises:
        UnknownNameError: no module of that name.
        ArgumentError: a module that is TorchScript, or other than a layout for it.
    """
    known = dict(model.named_modules())
    if modules is not None and not isinstance(modules, Mapping):
        raise ArgumentError("modules", expected="an OffsetOutput by each name of a module", received=shown(modules))
    for name, layout in (modules or {}).items():
        if not isinstance(layout, SamplingLayout):
            expected = f"an OffsetOutput or AbsolutePositions for {name!r}"
            raise ArgumentError("modules", expected=expected, received=shown(layout))
        check_known("modules", name, known)
        if is_script(known[name]):
            raise ArgumentError("modules", expected="modules that are not TorchScript", received=repr(name))
    return modules or {}


def chosen_output(name: str, output: Any, item: int | str | None) -> Tensor:
    """Return the tensor of offsets or positions among what a module returned."""
    found = output
    if item is not None:
        try:
            found = output[item]
        except (LookupError, TypeError) as error:
            expected = f"outputs of {name!r} of which one is {item!r}"
            raise ArgumentError("modules", expected=expected, received=type(output).__name__) from error
    if not isinstance(found, Tensor):
        several = "" if item is not None else ", or item= in its layout"
        raise ArgumentError("modules", expected=f"a tensor from {name!r}{several}", received=type(found).__name__)
    return found


class Watch:
    """Reports the sampling operations of a model between `start` and `stop`; a context manager that does both.

    A call whose numbers cannot be read, because it is traced, batched by vmap or has shapes alone, is not reported.

    Attributes:
        has_seen_calls: whether any operation ran, reported or not.
        recomputation: what will recompute the current operation, with gradients, and lives until then; None if nothing
            will.

    Args:
        model: the model.
        on_call: called after each operation, with its site, the innermost module that was running, and the call;
            what it returns stands for the operation.
        modules: modules whose outputs are offsets or positions, by name.
        on_module: called after each module, with its name, itself, its positional arguments and its output.
        on_recomputation: called after each operation that is recomputed in the backward pass, with what `on_call`
            returned in its first run, and the call; None leaves such operations alone.
        before_recomputation: called before such operations.
    """

    def __init__(
        self,
        model: nn.Module,
        on_call: OnCall,
        modules: Mapping[str, SamplingLayout],
        on_module: OnModule | None = None,
        on_recomputation: Callable[[Any, SamplingCall], None] | None = None,
        before_recomputation: Callable[[], None] = lambda: None,
    ) -> None:
        self.has_seen_calls = False
        self.recomputation: object = None
        self._model = model
        self._on_call = on_call
        self._modules = modules
        self._on_module = on_module
        self._on_recomputation = on_recomputation
        self._before_recomputation = before_recomputation
        self._running: list[tuple[str, nn.Module]] = []
        self._counts: Counter[str] = Counter()
        self._undo = ExitStack()
        self._is_inside = False
        self._thread: int | None = None
        self._collected: list[Any] = []  # what stands for the operations since the start
        self._first_run: Iterator[Any] | None = None  # the same of the first run, in a recomputation

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_watching(self) -> bool:
        """Whether it watches, in this thread or another."""
        return self._thread is not None

    @property
    def is_in_this_thread(self) -> bool:
        """Whether it watches in this thread."""
        return self._thread == get_ident()

    @property
    def collected(self) -> list[Any]:
        """What stands for the operations since the start."""
        return self._collected

    def start(self, first_run: Sequence[Any] | None = None) -> None:
        """Begin to watch, in this thread; a recomputation is given what was collected in the first run."""
        self._running = [("", self._model)]
        self._counts.clear()
        self._collected, self.recomputation, self._is_inside = [], None, False
        self._first_run = None if first_run is None else iter(first_run)
        with ExitStack() as stack:
            for name, module in self._model.named_modules():
                if name and not is_script(module):
                    self._follow(stack, name, module)
            sources = all_sources()
            for source in sources:
                if isinstance(source, AutogradSource):
                    self._replace_forward(stack, source.function, self._reported(source))
            if self._on_recomputation is not None:
                self._replace_forward(stack, CheckpointFunction, self._with_recomputation)
            readers = {source.function: source.read for source in sources if isinstance(source, FunctionSource)}
            stack.enter_context(_Listener(readers, self._report))
            self._undo = stack.pop_all()
        self._thread = get_ident()

    def stop(self) -> None:
        """Take everything back that `start` did."""
        self._thread = None
        self._undo.close()
        self._running = []

    def _follow(self, stack: ExitStack, name: str, module: nn.Module) -> None:
        """Know when a module runs; if it fails as well."""

        def is_other(called: nn.Module) -> bool:
            # A replica of a module shares its hooks; and nothing of this is for a compiler.
            return torch.compiler.is_compiling() or called is not module or not self.is_in_this_thread

        def enter(called: nn.Module, *_: Any) -> None:
            if not is_other(called):
                self._running.append((name, module))

        def leave(called: nn.Module, inputs: Any, output: Any) -> None:
            # A hook that failed before `enter` leaves without it.
            if is_other(called) or self._running[-1][1] is not module:
                return
            self._running.pop()
            if self._on_module is not None:
                self._on_module(name, module, inputs, output)
            if name in self._modules and output is not None:
                self._report_output(name, module, output)

        stack.callback(module.register_forward_pre_hook(ModuleHook(enter)).remove)
        stack.callback(module.register_forward_hook(ModuleHook(leave), always_call=True).remove)

    def _report_output(self, name: str, module: nn.Module, output: Any) -> None:
        """Announce the offsets or positions that a module returned which the user named."""
        self.has_seen_calls = True
        layout = self._modules[name]
        found = chosen_output(name, output, layout.item)
        if is_readable(found):
            with harmless(f"the output of {name!r}"):
                call = SamplingCall("module output", None, None, found, layout, layout.lattice(found))
                self._announce(name, module, call)

    def _replace_forward(
        self, stack: ExitStack, function: type[torch.autograd.Function], replaced: Callable[..., Any]
    ) -> None:
        """Have an autograd function's forward run by another one, which is given the original first."""
        original = function.__dict__["forward"]

        def forward(*arguments: Any) -> Any:
            if not self.is_in_this_thread:
                return original.__func__(*arguments)
            return replaced(original.__func__, *arguments)

        function.forward = staticmethod(forward)  # type: ignore[method-assign]  # put back by the stack
        stack.callback(setattr, function, "forward", original)

    def _reported(self, source: AutogradSource) -> Callable[..., Any]:
        def forward(original: Callable[..., Any], ctx: Any, *arguments: Any) -> Any:
            self._is_inside = True
            try:
                output = original(ctx, *arguments)
            finally:
                self._is_inside = False
            self._report(source.read, output, arguments, {})
            return output

        return forward

    def _with_recomputation(
        self, original: Callable[..., Any], ctx: Any, run: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Run a part of the model that torch's re-entrant checkpointing will recompute in the backward pass."""
        return original(ctx, _CheckpointedPart(self, run), *arguments)

    def run_first(self, part: "_CheckpointedPart", arguments: Any, keywords: Any) -> tuple[Any, list[Any]]:
        """Run what will be recomputed; return its output, and what stands for the operations in it."""
        # Of those inside each other the outermost has the graph.
        before, count = self.recomputation, len(self._collected)
        self.recomputation = before or part
        try:
            output = part.run(*arguments, **keywords)
        finally:
            self.recomputation = before
        return output, self._collected[count:]

    def recompute(self, first_run: Sequence[Any], run: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
        """Run again, in a backward pass, what a step has recorded."""
        if self.is_watching or not first_run or not is_in_backward() or torch.compiler.is_compiling():
            return run(*arguments, **keywords)
        self._before_recomputation()
        self.start(first_run)
        try:
            return run(*arguments, **keywords)
        finally:
            self.stop()

    def _report(self, read: Callable[..., SamplingCall], output: Any, arguments: Any, keywords: Any) -> None:
        """Announce a call of numbers, unless it is part of one that is announced as a whole."""
        if self._is_inside:
            return
        self.has_seen_calls = True
        tensors = [each for each in (*arguments, *keywords.values()) if isinstance(each, Tensor)]
        outcomes = [each for each in tree_leaves(output) if isinstance(each, Tensor)]
        if all(map(is_readable, (*outcomes, *tensors))):
            name, module = self._running[-1]
            with harmless(f"a sampling operation in {name!r}"):
                self._announce(name, module, read(output, *arguments, **keywords))

    def _announce(self, name: str, module: nn.Module, call: SamplingCall) -> None:
        # The place of an operation that could not be read stays empty, so that a recomputation finds the others.
        found = None if self._first_run is None else next(self._first_run, None)
        self._collected.append(found)
        with torch.no_grad():
            if self._first_run is None:
                site = CallSite(name, self._counts[name], sum(self._counts.values()))
                self._counts[name] += 1
                self._collected[-1] = self._on_call(site, module, call)
            elif found is not None and self._on_recomputation is not None:
                self._on_recomputation(found, call)


class _CheckpointedPart:
    """A part of a model that runs twice, for torch's re-entrant checkpointing: the graph keeps it meanwhile."""

    def __init__(self, watch: Watch, run: Callable[..., Any]) -> None:
        self.run = run
        self._watch = watch
        self._first_run: list[Any] | None = None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if self._first_run is None:
            output, self._first_run = self._watch.run_first(self, arguments, keywords)
            return output
        return self._watch.recompute(self._first_run, self.run, arguments, keywords)


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
