"""Equations as drawings made with the pages: no script, no fonts, no network to read them."""

from html import escape

import ziamath
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)
ziamath.config.svg2 = False  # whole outlines in each drawing, no names shared between them


def drawing(node: nodes.Element, size: float, inline: bool) -> str:
    """Return an SVG on the line's baseline; warn where an equation cannot be drawn."""
    tex = " ".join(node.astext().split())
    try:
        equation = ziamath.Latex(tex, size=size, color="currentColor", inline=inline)
        svg = equation.svg()
    except Exception as error:  # any failure to draw is one to report, with its place
        logger.warning("cannot draw %s: %r", tex, error, location=node)
        return escape(tex)
    place = f'style="vertical-align: {equation.getyofst():.2f}px"' if inline else ""
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(tex)}" {place} ', 1)


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an equation within a line."""
    translator.body.append(drawing(node, 17, inline=True))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation of its own, with its number if it has one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})</span>')
    translator.body.append(drawing(node, 18, inline=False))
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Give Sphinx this way to write equations."""
    app.add_html_math_renderer("drawn", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
