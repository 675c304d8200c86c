"""Every operator under torch's compiler and exporter. Run by test_tracing.py in a process of its own."""

import functools

import pytest
import torch

from tests.operators.examples import CASES, close, setting
from warptheory import operators
from warptheory.core.tolerances import rounding


def shared_out(*, is_exported):
    """Every example; a quick run compiles every other one of an operator and exports those between.

    Each operator is compiled and exported, if need be the same example of it.
    """
    quick = set()
    for name in operators.names():
        keys = list(operators.get(name).examples)[::-1]
        quick |= {(name, key) for key in (is_exported and keys[1::2]) or keys[::2]}
    marks = {case: [] if case in quick else [pytest.mark.slow] for case in CASES}
    return [pytest.param(case, id="-".join(case), marks=marks[case]) for case in CASES]


@pytest.mark.parametrize("case", shared_out(is_exported=False))
def test_compiled(case):
    """As one graph, without a break."""
    torch.compiler.reset()
    found = setting(*case)
    compiled = torch.compile(found.layer, backend="eager", fullgraph=True)
    close(compiled(*found.inputs).detach(), found.y)


@pytest.mark.parametrize("case", shared_out(is_exported=True))
def test_exported(case):
    found = setting(*case)
    program = torch.export.export(found.layer, found.inputs, strict=False)
    close(program.module()(*found.inputs).detach(), found.y)


# An example on images of each operator; making a program takes seconds.
IMAGES = list(
    {name: (name, key) for name, key in reversed(CASES) if len(operators.get(name).examples[key].shape) == 4}.values()
)


@pytest.fixture(scope="module")
def _functions_read_once():
    """Let torch parse the sources of its ONNX functions for the first export alone: it takes longer than the export."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.mark.usefixtures("_functions_read_once")
@pytest.mark.parametrize(("name", "key"), IMAGES)
def test_in_onnx(name, key):
    """Onnxruntime computes the same in single precision, or the operator's file says why it cannot be exported."""
    onnxruntime = pytest.importorskip("onnxruntime")
    found = setting(name, key)
    layer, inputs = found.layer.float().eval(), tuple(map(single, found.inputs))
    program = torch.onnx.export(layer, inputs, dynamo=True, verbose=False, optimize=False).model_proto
    session = onnxruntime.InferenceSession(program.SerializeToString())
    given = {each.name: value.numpy() for each, value in zip(session.get_inputs(), tensors(inputs), strict=True)}
    with torch.no_grad():
        expected = layer(*inputs)
    tolerance = rounding(torch.float32, operations=400, magnitude=20)
    found = torch.from_numpy(session.run(None, given)[0])
    torch.testing.assert_close(found, expected, rtol=tolerance.relative, atol=tolerance.absolute)


def single(value):
    is_real = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.float() if is_real else value


def tensors(inputs):
    return [each for each in inputs if isinstance(each, torch.Tensor)]
