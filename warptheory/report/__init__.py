"""What plots and pages are made of: one style, panels of curves, pictures of sampling points, the HTML page."""

from warptheory.core.listing import public_names
from warptheory.report._diagnosis import write_diagnosis
from warptheory.report._explorer import ExplorerFormula, ExplorerPanel, write_explorer
from warptheory.report._layer import plot_layer
from warptheory.report._page import (
    Columns,
    PageSection,
    fragment,
    html_table,
    markdown_table,
    shown_figure,
    shown_png,
    table_rows,
    write_page,
)
from warptheory.report._sampling_points import (
    draw_arrows,
    draw_colour_wheel,
    draw_offset_arrows,
    draw_offset_colours,
    draw_sampling_points,
    offset_colours,
    plot_offset_field,
    plot_sampling_points,
)
from warptheory.report.style import house_style

__all__ = [
    "Columns",
    "ExplorerFormula",
    "ExplorerPanel",
    "PageSection",
    "draw_arrows",
    "draw_colour_wheel",
    "draw_offset_arrows",
    "draw_offset_colours",
    "draw_sampling_points",
    "fragment",
    "house_style",
    "html_table",
    "markdown_table",
    "offset_colours",
    "plot_layer",
    "plot_offset_field",
    "plot_sampling_points",
    "shown_figure",
    "shown_png",
    "table_rows",
    "write_diagnosis",
    "write_explorer",
    "write_page",
]
__dir__ = public_names(__name__)
