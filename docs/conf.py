"""How Sphinx builds the site: written pages and notebooks are executed, pages of entries are generated, offline."""

import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))
# Kernels that execute pages are processes of their own: they import this checkout, and draw without a screen.
os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])])

from docs import autodoc_text, executed, explorer_page, gallery_scripts, mathml_renderer, pages  # noqa: E402  # needs the path above
from warptheory import __version__  # noqa: E402

project = "warptheory"
author = "the warptheory authors"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = [
    "_build",
    "_gallery",
    "gallery/*.ipynb",  # of scripts, which have pages already
    "pictures",
    "records",
    # Its tables would load scripts from other hosts.
    "**/sg_execution_times.rst",
    "sg_execution_times.rst",
]

# The settings of the gallery hold functions, which Sphinx cannot keep from one build to the next.
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes that are documented in the class are not described a second time
napoleon_attr_annotations = False

sphinx_gallery_conf: dict[str, Any] = gallery_scripts.SETTINGS

html_theme = "pydata_sphinx_theme"
html_title = "warptheory"
html_static_path = ["_static"]
html_extra_path = [str(explorer_page.FOLDER)]
html_css_files = ["site.css"]
html_math_renderer = mathml_renderer.NAME
html_show_sourcelink = False
html_copy_source = False
html_last_updated_fmt = None
html_sidebars: dict[str, list[str]] = {"index": [], "changelog": []}
html_theme_options = {
    "logo": {"text": "warptheory"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app: Any) -> None:
    """Generate the pages of entries before anything is read, and write formulas as MathML."""
    mathml_renderer.setup(app)
    autodoc_text.setup(app)
    app.connect("config-inited", _generate, priority=1)
    app.connect("env-before-read-docs", _spread)
    app.connect("env-before-read-docs", _begin)
    app.connect("build-finished", _end)
    app.connect("doctree-read", gallery_scripts.name_thumbnails)


def _spread(_app: Any, environment: Any, names: list[str]) -> None:
    """Spread pages that are executed evenly among the others: processes that read take neighbours."""
    slow = [name for name in names if "mystnb" in Path(environment.doc2path(name)).read_text(encoding="utf-8")[:80]]
    slow += [name for name in names if environment.doc2path(name).suffix == ".ipynb"]
    others = [name for name in names if name not in slow]
    places = [((number + 0.5) / len(part), name) for part in (slow, others) for number, name in enumerate(part)]
    names[:] = [name for _, name in sorted(places)]


_read: dict[str, str] = {}  # digests of the pages that this build reads


def _begin(_app: Any, environment: Any, names: list[str]) -> None:
    _read.update(executed.digests(Path(environment.doc2path(name)) for name in names))


def _end(app: Any, error: Exception | None) -> None:
    if error is None:
        executed.note(_read, Path(app.outdir).parent)


def _generate(*_: Any) -> None:
    gallery_scripts.write_scripts()
    explorer_page.write()
    pages.write_all(FOLDER / "generated")
