import pytest
import torch

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.training import data

pytestmark = pytest.mark.usefixtures("as_users_call")


def test_the_catalogue():
    assert {"cifar10", "cifar100", "digits", "folder", "mnist1d", "patches"} <= set(data.names())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("digits", {"share": 0.5}, "^share: expected options of digits, which are test_share, got 0.5$"),
        ("cifar10", {"a": 1, "b": "x"}, "^a, b: expected no options, as cifar10 has none, got 1, 'x'$"),
        ("patches", {"data_dir": "there"}, "^data_dir: expected None, as patches is read from no folder, got there$"),
        ("digits", {"download": True}, "^download: expected False, as digits cannot be fetched, got True$"),
        ("patches", {"colour": "no"}, "^colour: expected True or False, got 'no'$"),
        ("patches", {"size": 2.5}, "^size: expected a positive integer, got 2.5$"),
        ("patches", {"train_per_class": 0}, "^train_per_class: expected a positive integer, got 0$"),
        ("patches", {"test_per_class": True}, "^test_per_class: expected a positive integer, got True$"),
        ("patches", {"size": 100}, "^size: expected a patch that fits into .* pixels, got 100$"),
        ("digits", {"test_share": 1}, "^test_share: expected a finite number > 0 and < 1, got 1$"),
        ("digits", {"test_share": float("nan")}, "^test_share: expected .*, got nan$"),
        ("mnist1d", {"samples": 9}, "^samples: expected an integer ≥ 10, got 9$"),
        ("mnist1d", {"recipe_seed": -1}, "^recipe_seed: expected an integer in 0 … 4294967295, got -1$"),
    ],
)
def test_bad_input(name, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        data.load(name, **arguments)


def test_unknown_name():
    with pytest.raises(UnknownNameError, match=r"^name: expected one of .*, got 'cifar' \(did you mean 'cifar10'\?\)$"):
        data.load("cifar")


def test_one_label_for_each_image():
    with pytest.raises(ArgumentError, match="^labels: expected 3 labels, one for each image, got 2$"):
        data.LabelledImages(torch.zeros(3, 1, 8), torch.zeros(2, dtype=torch.long))
