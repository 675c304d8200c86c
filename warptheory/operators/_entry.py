"""What the file of an operator says of it, for its page, its contract and its conversion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from warptheory.core.catalogue import Catalogue
from warptheory.operators._operator import SamplingOperator


@dataclass(frozen=True)
class OperatorExample:
    """One layer of an operator with inputs, which its contract checks and its page draws.

    Attributes:
        build: makes the layer, in float32, with torch's generator as it is.
        inputs: makes the inputs of `forward` of images (B, C, *S), in their dtype, at which positions move.
        shape: (B, C, *S) of small images for the contract; the page gives a photograph of as many channels.
    """

    build: Callable[[], SamplingOperator]
    inputs: Callable[[Tensor, torch.Generator], tuple[Any, ...]]
    shape: tuple[int, ...] = (2, 4, 6, 5)


@dataclass(frozen=True)
class Defect:
    """Where an original is wrong.

    Attributes:
        original: what it does, as a sentence with numbers.
        here: what this library does instead.
        test: name of the test that shows both values, in the test file of the operator.
    """

    original: str
    here: str
    test: str


@dataclass(frozen=True)
class Counterpart:
    """A layer of another library that does the same as one of ours.

    Attributes:
        original: dotted name of its class, which is never imported to recognise it.
        ours: our class.
        to_ours: makes ours of the original.
        to_original: makes the original of ours, given the original's class.

    Either raises ArgumentError where the other one has no such option.
    """

    original: str
    ours: type[nn.Module]
    to_ours: Callable[[Any], nn.Module]
    to_original: Callable[[Any, Any], nn.Module]


@dataclass(frozen=True)
class OperatorEntry:
    """What is to be said of an operator.

    Attributes:
        formula: what it computes, in LaTeX.
        where: what the letters of the formula stand for, by letter in LaTeX.
        source: the paper and the code that define it.
        conventions: how positions count, order of channels, borders: a sentence each.
        initialisation: how a new layer starts, and what it then computes.
        examples: layers with inputs, by name; none for a layer without a matrix.
        defects: where originals are wrong.
        counterparts: layers of other libraries.
    """

    formula: str
    where: Mapping[str, str]
    source: str
    conventions: tuple[str, ...]
    initialisation: str
    examples: Mapping[str, OperatorExample] = field(default_factory=dict)
    defects: tuple[Defect, ...] = ()
    counterparts: tuple[Counterpart, ...] = ()


_CATALOGUE = Catalogue[OperatorEntry]("warptheory.operators", attribute="operator")


def names() -> list[str]:
    """Return the names of all operators, those of their files, in alphabetical order."""
    return _CATALOGUE.names()


def get(name: str) -> OperatorEntry:
    """Return what an operator's file says of it.

    Raises:
        UnknownNameError: no such operator; the message lists the ones that exist.
    """
    return _CATALOGUE.get(name)
