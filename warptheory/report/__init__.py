"""Plots and the HTML report; draws from records only."""

from warptheory.report._backward import plot_reading, plot_slopes, plot_two_passes
from warptheory.report._discretization import plot_errors, plot_orders
from warptheory.report._iid import plot_displacement, plot_forward
from warptheory.report._natural_images import plot_limits, plot_photographs
from warptheory.report._page import write_report
from warptheory.report._plots import plot_deviations
from warptheory.report._random_fields import plot_interpolated_fields, plot_moved_fields
from warptheory.report._sampling_points import (
    draw_colour_wheel,
    draw_offset_arrows,
    draw_offset_colours,
    draw_sampling_points,
    offset_colours,
    plot_offset_field,
    plot_sampling_points,
)
from warptheory.report._style import house_style
from warptheory.report._training import accuracy_summary, plot_accuracy_of_networks

__all__ = [
    "accuracy_summary",
    "draw_colour_wheel",
    "draw_offset_arrows",
    "draw_offset_colours",
    "draw_sampling_points",
    "house_style",
    "offset_colours",
    "plot_accuracy_of_networks",
    "plot_deviations",
    "plot_displacement",
    "plot_errors",
    "plot_forward",
    "plot_interpolated_fields",
    "plot_limits",
    "plot_moved_fields",
    "plot_offset_field",
    "plot_orders",
    "plot_photographs",
    "plot_reading",
    "plot_sampling_points",
    "plot_slopes",
    "plot_two_passes",
    "write_report",
]
