"""GLCIC: globally and locally consistent image completion, as a reproducible, tracked pipeline.

For other programs: `Completer`, a trained network as a function of arrays, and `complete`, the same for one picture.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glcic.inference.completer import Completer
    from glcic.inference.photo import complete

__all__ = ["Completer", "complete"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: torch takes seconds, and most commands do without."""
    if name == "Completer":
        from glcic.inference.completer import Completer

        return Completer
    if name == "complete":
        from glcic.inference.photo import complete

        return complete
    raise AttributeError(f"module 'glcic' has no attribute {name!r}")
