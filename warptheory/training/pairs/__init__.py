"""Images whose target is an image, one file per task: what a warp has to undo, and what it should come to.

>>> from warptheory.training import pairs
>>> pages = pairs.load("rectification", train_per_photograph=20)
>>> pages.train.inputs.shape, pages.train.targets.shape
(torch.Size([260, 2, 32, 32]), torch.Size([260, 1, 32, 32]))

These are no entries of `training.data`: there an image has a class, and `fit`, `warptheory train` and every network of
the library classify. A pair is trained on in a loop of one's own, for which `batches` yields what it reads.
"""

import inspect
from collections.abc import Callable
from typing import Any

from warptheory.core.catalogue import Catalogue
from warptheory.core.listing import public_names
from warptheory.training.data._loading import refuse_unknown
from warptheory.training.pairs._pairs import ImagePairs, PairedImages

__all__ = ["ImagePairs", "PairedImages", "load", "names"]
__dir__ = public_names(__name__)

_CATALOGUE = Catalogue[Callable[..., ImagePairs]](__name__)
names = _CATALOGUE.names


def load(name: str, *, seed: int = 0, **options: Any) -> ImagePairs:
    """Load pairs of images.

    Args:
        name: a name in `names()`.
        seed: seed of all that is drawn.
        options: options of the task itself, such as `size`.

    Returns:
        Inputs of shape (N, C, *S) and targets of shape (N, D, *S), float32, to train and to test.

    Raises:
        UnknownNameError: no pairs of that name.
        ArgumentError: options that they do not have or cannot use.
    """
    entry = _CATALOGUE.get(name)
    known = [parameter for parameter in inspect.signature(entry).parameters if parameter != "seed"]
    refuse_unknown(name, options, known)
    return entry(seed=seed, **options)
