"""Whether a model with dynamic sampling will train, told from a few batches.

>>> import torch
>>> from torch.nn import functional
>>> from warptheory import networks, stability
>>> _ = torch.manual_seed(0)
>>> model = networks.selfwarp_resnet(8, width=4)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
>>> batches = [(torch.randn(16, 3, 12, 12), torch.randint(0, 10, (16,))) for _ in range(4)]
>>> found = stability.diagnose(model, batches, functional.cross_entropy, optimizer)
>>> found.verdict, found.reason, found.offset_only[:2]
('ok', None, ('blocks.0.warp.head.weight', 'blocks.0.warp.head.bias'))

Three dials decide. One is a ratio of speeds (G5): how far one step of the parameters that only move samples moves the
output, over how far the step of all others does. Another is how far samples move, in pixels, in the steps that
momentum remembers: too far is a runaway, and too little in all of training is being stuck. The third is how far they
really move in a step, once a few steps have been taken. All are measured with the optimizer's own steps, so that
rates, momentum and preconditioning are in them, on the model itself, which is left as it was to the last bit.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import torch
from torch import nn

from warptheory.core.checks import check_integer
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._diagnosis._examination import (
    Batches,
    Examination,
    as_written,
    check_model,
    quiet,
    summary,
)
from warptheory.stability._diagnosis._judgement import TARGET, TARGET_PIXELS, Evidence, advice, conditions, verdict_of
from warptheory.stability._diagnosis._layers import layers, lost_share
from warptheory.stability._diagnosis._rehearsal import rehearsed
from warptheory.stability._diagnosis._remarks import is_frozen, remarks
from warptheory.stability._diagnosis._repair import factor_for
from warptheory.stability._diagnosis._trial import Loss
from warptheory.stability._diagnosis._untouched import untouched
from warptheory.stability._sampling._opaque import scripts
from warptheory.stability.diagnosis import Diagnosis

BATCHES = 4
REHEARSAL = 10


def diagnose(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    *,
    count: int = BATCHES,
    modules: Mapping[str, SamplingLayout] | None = None,
    steps: int | None = None,
    rehearsal: int = REHEARSAL,
    seed: int = 0,
) -> Diagnosis:
    """Tell from a few batches whether a model will train, and what to change if not.

    It costs about two training steps a batch, some ten more for the first batch, and the rehearsal. The model runs in
    the mode in which it is, and is left as it was, to the last bit: its parameters, gradients, buffers and attributes,
    the optimizer with its state, and all generators of random numbers. Parts that torch compiles run as they are
    written.

    Args:
        model: any torch model that samples by an operation that `monitor` sees.
        batches: an iterable of (inputs, target); inputs are a tensor, or a tuple of the model's arguments.
        loss: of the model's output and the target; returns a scalar tensor.
        optimizer: of the model's parameters, with the rates that are to be used.
        count: batches that are used, the first ones; the error of ρ falls with their number.
        modules: modules whose outputs are offsets, as for `monitor`.
        steps: steps that the training will have, which tell whether samples can move far enough to matter; None for
            as many as the rest of the model needs, which long trainings exceed.
        rehearsal: steps that are really taken, and taken back: how far samples move in each of the later half tells
            more than the first step, in which momentum has not built up, and heads that start at zero hide what is
            below them. Each costs a training step; 0 for none.
        seed: seed of the random numbers that the model draws meanwhile.

    Raises:
        ArgumentError: a model that does not sample as far as can be seen, batches that the model cannot take, a loss
            that is no scalar or depends on no parameter, or an optimizer that needs a closure.
        UnknownNameError: no module of a name in `modules`.

    Source: results G1 to G6.
    """
    check_model(model, optimizer)
    if steps is not None:
        check_integer("steps", steps)
    check_integer("rehearsal", rehearsal, 0)
    check_integer("count", count)
    with untouched(model, optimizer), as_written(model), quiet():
        taken = list(islice(iter(batches), count))  # a loader that shuffles draws random numbers
        torch.manual_seed(seed)
        found = Examination.of(model, taken, loss, optimizer, modules)
        evidence = _evidence(found, steps)
        if rehearsal and found.is_finite:
            evidence = replace(evidence, rehearsal=rehearsal, rehearsed=rehearsed(found, rehearsal))
        if found.is_finite and found.offset_only and verdict_of(conditions(evidence))[1] in ("runaway", "stuck"):
            evidence = replace(evidence, repair=factor_for(found, TARGET, TARGET_PIXELS))
        # Within, because the model is tried once more for some of it.
        return _diagnosis(found, evidence)


def _diagnosis(found: Examination, evidence: Evidence) -> Diagnosis:
    trial = found.trials[0]
    held = conditions(evidence)
    verdict, reason = verdict_of(held)
    return Diagnosis(
        verdict,
        reason,
        evidence.rho,
        evidence.rho_stderr,
        evidence.explosion,
        held,
        tuple(advice(evidence, verdict, reason)),
        evidence.layers,
        found.offset_only.names(),
        tuple(remarks(trial, found.offset_only, found.gradients)),
        tuple(scripts(trial.model)),
        evidence.profile,
        type(trial.model).__name__,
        len(found.trials),
    )


def _evidence(found: Examination, steps: int | None) -> Evidence:
    """Measure everything; of a model whose first step is not finite, what can be had without a step."""
    unknown = [math.nan] * len(found.calls.calls)
    if found.is_finite:
        moved = found.speeds()
        (rho, rho_stderr), coasting = summary(moved)
        seen = layers(found.calls, moved[0].steps, moved[0].coasting)
        profile = found.profile()
    else:
        rho, rho_stderr, coasting, profile = math.nan, math.nan, (math.nan, math.nan), None
        seen = layers(found.calls, unknown, unknown)
    return Evidence(
        rho if found.moves_samples else 0.0,
        rho_stderr,
        len(found.trials),
        found.explosion() if found.is_finite else math.inf,
        coasting,
        found.memory,
        steps if steps is not None else found.steps_needed() if found.is_finite else 0,
        steps is not None,
        seen,
        lost_share(found.calls),
        profile,
        bool(found.offset_only),
        found.moves_samples,
        tuple(found.heads),
        found.is_finite,
        0.0 if is_frozen(found.trials[0], found.offset_only) else found.multiplier(),
    )
