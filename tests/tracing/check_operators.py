"""Every operator under torch's compiler and exporter. Run by test_tracing.py in a process of its own."""

import pytest
import torch

from tests.operators.examples import CASES, close, setting
from warptheory import operators
from warptheory.core.tolerances import rounding


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request):
    return setting(*request.param)


def test_compiled(case):
    """As one graph, without a break."""
    torch.compiler.reset()
    compiled = torch.compile(case.layer, backend="eager", fullgraph=True)
    close(compiled(*case.inputs).detach(), case.y)


def test_exported(case):
    program = torch.export.export(case.layer, case.inputs, strict=False)
    close(program.module()(*case.inputs).detach(), case.y)


# An example on images of each operator; making a program takes seconds.
IMAGES = list(
    {name: (name, key) for name, key in reversed(CASES) if len(operators.get(name).examples[key].shape) == 4}.values()
)


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
