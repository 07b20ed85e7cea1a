"""The documentation: `make docs` builds it, warnings are errors, nothing is fetched."""

import sys
from pathlib import Path

import neurodyn

sys.path.insert(0, str(Path(__file__).parent))  # equations.py, figure_style.py

project = "neurodyn"
author = "the neurodyn developers"
copyright = f"2026, {author}"
version = release = neurodyn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "equations",
]
exclude_patterns = ["_build", "examples"]
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say it, with units
toc_object_entries = False
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
templates_path = ["_templates"]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "doc_module": ("neurodyn",),
    "backreferences_dir": "gen_modules/backreferences",
    "reset_modules": ("matplotlib", "figure_style.apply"),
    "image_srcset": ["2x"],
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,  # that page would load scripts from elsewhere
    "within_subsection_order": "ExampleTitleSortKey",
}

html_math_renderer = "drawn"
html_theme = "pydata_sphinx_theme"
html_title = f"neurodyn {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_sidebars = {"*": []}  # pages in the menu at the top need no other one
html_context = {"default_mode": "light"}
html_theme_options = {
    "header_links_before_dropdown": 5,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
