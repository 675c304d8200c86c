"""Plots and the HTML report; draws from records only."""

from warptheory.report._page import write_report
from warptheory.report._plots import plot_deviations, plot_forward_gain
from warptheory.report._style import house_style

__all__ = ["house_style", "plot_deviations", "plot_forward_gain", "write_report"]
