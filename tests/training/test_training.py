import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.networks import selfwarp_resnet
from warptheory.training import DivergedError, accuracy, data, fit

pytestmark = pytest.mark.usefixtures("as_users_call")


def test_training_learns_and_repeats():
    """The accuracy on fresh regions is 5 standard errors above chance; the same seed gives the same losses."""
    patches = data.load("patches", size=16, train_per_class=30, test_per_class=30)
    train, test, classes = patches.train, patches.test, len(patches.classes)
    histories = []
    for _ in range(2):
        model = selfwarp_resnet(8, classes=classes, channels_in=1, width=8)
        histories.append(fit(model, train.images, train.labels, steps=40, batch=32))
    assert histories[0] == histories[1]
    assert histories[0][-1].loss < histories[0][0].loss
    chance, count = 1 / classes, len(test.images)
    assert accuracy(model, test.images, test.labels) > chance + 5 * (chance * (1 - chance) / count) ** 0.5
    assert any(p.abs().max() > 0 for p in model.parameter_groups()["warping"])


def test_any_model_can_be_trained():
    images = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0] > 0).long()
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    history = fit(model, images, labels, steps=30, batch=20, learning_rate=1.0)
    assert history[-1].accuracy > 0.9


def test_divergence_is_named():
    model = selfwarp_resnet(8, classes=2, channels_in=1, width=4)
    images = torch.full((8, 1, 8, 8), torch.nan)
    with pytest.raises(DivergedError, match="^loss is nan at step 0; "):
        fit(model, images, torch.zeros(8, dtype=torch.long), steps=1, batch=4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(selfwarp_resnet(8), torch.zeros(4, 3, 8, 8), torch.zeros(4).long(), steps=0), "^steps: expected"),
        (
            lambda: fit(selfwarp_resnet(8), torch.zeros(4, 3, 8, 8), torch.zeros(4).long(), steps=1),
            "^batch: expected an integer in 1 … 4",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
