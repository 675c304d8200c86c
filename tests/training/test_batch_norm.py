"""Synchronised normalisation against torch's own; in one process here, in two in test_processes."""

import pytest
import torch
from torch import distributed, nn

from warptheory.training.batch_norm import synchronised_batch_norm


@pytest.fixture
def group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.3, "eps": 0.1}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}],
    ids=str,
)
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_against_torch(kind, options):
    """Outputs, gradients and running statistics in float64; 1e-12 is 10⁴ roundings of sums of 45 terms."""
    generator = torch.Generator().manual_seed(0)
    shape = (5, 3, 9) if kind is nn.BatchNorm1d else (5, 3, 3, 3)
    models = [nn.Sequential(kind(3, **options)).double() for _ in range(2)]
    for training in (True, True, False):
        x = 2 + 3 * torch.randn(*shape, generator=generator, dtype=torch.float64)
        g = torch.randn(*shape, generator=generator, dtype=torch.float64)
        found = []
        for model, synchronised in zip(models, (False, True), strict=True):
            model.train(training)
            z = x.clone().requires_grad_()
            if synchronised:
                with synchronised_batch_norm(model):
                    y = model(z)
            else:
                y = model(z)
            (y * g).sum().backward()
            found.append([y, z.grad, *(p.grad for p in model.parameters()), *model.state_dict().values()])
        for ours, theirs in zip(found[1], found[0], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("group")
def test_layers_come_back(tiny):
    model = tiny()
    before, names = list(model.modules()), list(model.state_dict())
    with synchronised_batch_norm(model):
        assert list(model.state_dict()) == names
        assert list(model.modules()) != before
        assert [*model.parameters()][2] is before[2].weight
        model.eval()
    assert list(model.modules()) == before
    assert not any(module.training for module in model.modules())


@pytest.mark.usefixtures("group")
def test_bfloat16_is_normalised_in_float32():
    x = 100 + torch.randn(8, 2, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    model = nn.Sequential(nn.BatchNorm1d(2))
    with synchronised_batch_norm(model):
        found = model(x)
    expected = nn.BatchNorm1d(2)(x.float())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2**-8, atol=2**-8)
