"""Learning rates against torch's own schedulers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warptheory.core.errors import UnknownNameError
from warptheory.training.schedules import learning_rate_factor, names

lr = torch.optim.lr_scheduler


def factors(scheduler, optimizer, steps):
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def torchs(schedule, optimizer, steps):
    if schedule == "cosine":
        return lr.CosineAnnealingLR(optimizer, steps)
    if schedule == "step":
        return lr.MultiStepLR(optimizer, [-(-steps // 2), -(-3 * steps // 4)])
    return lr.ConstantLR(optimizer, 1.0)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
@pytest.mark.parametrize("warm_up", [0, 1, 7])
@pytest.mark.parametrize("steps", [8, 40, 41])
def test_against_torch(schedule, warm_up, steps):
    """Torch multiplies once a step, by numbers near one: 1e-12 allows 100 roundings each time."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torchs(schedule, optimizer, steps - warm_up)
    if warm_up:
        growing = lr.LinearLR(optimizer, 1 / (warm_up + 1), total_iters=warm_up)
        scheduler = lr.SequentialLR(optimizer, [growing, scheduler], [warm_up])
    expected = factors(scheduler, optimizer, steps)
    found = [learning_rate_factor(schedule, step, steps, warm_up) for step in range(steps)]
    assert found == pytest.approx(expected, abs=1e-12)


@given(st.sampled_from(names()), st.integers(1, 1000), st.data())
def test_factors_are_shares(schedule, steps, drawn):
    warm_up = drawn.draw(st.integers(0, steps - 1))
    found = [learning_rate_factor(schedule, step, steps, warm_up) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in found)
    assert found[warm_up] == 1
    assert found[warm_up:] == sorted(found[warm_up:], reverse=True)


@pytest.mark.usefixtures("as_users_call")
def test_unknown_name():
    with pytest.raises(UnknownNameError, match="^schedule: .*did you mean 'cosine'"):
        learning_rate_factor("cosin", 0, 1)
