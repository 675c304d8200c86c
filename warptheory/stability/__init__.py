"""Conditions for stable training, and the state of real offset fields."""

from warptheory.core.listing import public_names
from warptheory.patterns.layouts import AbsolutePositions, OffsetOutput
from warptheory.results.selfwarp.cascade import GradientCascade, GradientProfile
from warptheory.stability._diagnosis._repair import Change
from warptheory.stability._layer_statistics import LayerStatistics
from warptheory.stability._offset_fields import LayerOffsets, offset_fields
from warptheory.stability._receptive_field import receptive_field
from warptheory.stability.declared import sampling
from warptheory.stability.diagnosing import diagnose
from warptheory.stability.diagnosis import Condition, Diagnosis, LayerDiagnosis, StepProfile
from warptheory.stability.gradient_cascade import (
    CascadeReading,
    measured_gradients,
    output_gradient,
    predicted_gradients,
    randomly_signed_gradients,
    read_cascade,
)
from warptheory.stability.monitoring import Monitor, monitor
from warptheory.stability.points import SamplingPoints, points_of, sampling_points, write_points
from warptheory.stability.stabilising import Stabilised, stabilise
from warptheory.stability.training_watch import TrainingWatch
from warptheory.warping.jacobian import fold_fraction, jacobian_determinant, offset_jacobian, slope_deviation

__all__ = [
    "AbsolutePositions",
    "CascadeReading",
    "Change",
    "Condition",
    "Diagnosis",
    "GradientCascade",
    "GradientProfile",
    "LayerDiagnosis",
    "LayerOffsets",
    "LayerStatistics",
    "Monitor",
    "OffsetOutput",
    "SamplingPoints",
    "Stabilised",
    "StepProfile",
    "TrainingWatch",
    "diagnose",
    "fold_fraction",
    "jacobian_determinant",
    "measured_gradients",
    "monitor",
    "offset_fields",
    "offset_jacobian",
    "output_gradient",
    "points_of",
    "predicted_gradients",
    "randomly_signed_gradients",
    "read_cascade",
    "receptive_field",
    "sampling",
    "sampling_points",
    "slope_deviation",
    "stabilise",
    "write_points",
]
__dir__ = public_names(__name__)
