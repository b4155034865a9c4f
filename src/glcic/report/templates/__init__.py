"""Jinja2 templates of the page and the model card."""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

FOLDER = Path(__file__).parent


@cache
def template(name: str) -> Template:
    """Load a template of this folder. HTML templates escape the values that they insert."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = code
    return environment.get_template(name)


def code(text: str) -> Markup:
    """Escape text for HTML, and turn parts between backticks into code elements."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))
