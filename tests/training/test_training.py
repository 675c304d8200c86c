import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.networks import selfwarp_resnet
from warptheory.training import DivergedError, accuracy, fit, photograph_patches

pytestmark = pytest.mark.usefixtures("as_users_call")


def test_patches_are_normalised_and_labelled():
    patches = photograph_patches("train", per_class=5, size=16)
    assert patches.images.shape == (5 * len(patches.classes), 1, 16, 16)
    assert patches.labels.tolist() == [label for label in range(len(patches.classes)) for _ in range(5)]
    assert patches.images.mean((1, 2, 3)).abs().max() < 1e-5
    # Some patches are flat (sky, black space): their deviation is below one.
    assert patches.images.std((1, 2, 3)).max() == pytest.approx(1.0, abs=1e-5)


def test_train_and_test_share_no_patch():
    """Flat patches (sky, black space) look alike wherever they come from, so only patches with contrast count."""
    train, test = (photograph_patches(part, per_class=50, size=16).images.flatten(1) for part in ("train", "test"))
    train, test = train[train.std(1) > 0.5], test[test.std(1) > 0.5]
    assert len(test) > 300
    assert torch.cdist(train, test).min() > 0.1


def test_training_learns_and_repeats():
    """The accuracy on fresh regions is 5 standard errors above chance; the same seed gives the same losses."""
    train, test = (photograph_patches(part, per_class=30, size=16) for part in ("train", "test"))
    histories = []
    for _ in range(2):
        model = selfwarp_resnet(8, classes=len(train.classes), channels_in=1, width=8)
        histories.append(fit(model, train.images, train.labels, steps=40, batch=32))
    assert histories[0] == histories[1]
    assert histories[0][-1].loss < histories[0][0].loss
    chance, count = 1 / len(train.classes), len(test.images)
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
        (lambda: photograph_patches("validation"), "^part: expected 'train' or 'test', got 'validation'$"),
        (lambda: photograph_patches("train", per_class=0), "^per_class: expected a positive integer, got 0$"),
        (lambda: photograph_patches("test", size=500), "^size: expected a patch that fits into"),
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
