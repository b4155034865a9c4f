"""GLCIC: globally and locally consistent image completion, as a reproducible, tracked pipeline.

For other programs: `Completer`, a trained network as a function of arrays, and `complete`, the same for one picture.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glcic.inference.completer import Completer
    from glcic.inference.photo import complete

__all__ = ["Completer", "complete"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: torch takes seconds, and most commands do without."""
    module = {"Completer": "completer", "complete": "photo"}.get(name)
    if module is None:
        raise AttributeError(f"module 'glcic' has no attribute {name!r}")
    return getattr(import_module(f"glcic.inference.{module}"), name)
