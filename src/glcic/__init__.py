"""GLCIC: globally and locally consistent image completion, as a reproducible, tracked pipeline.

For use in other programs: `Completer` applies a trained network to arrays, `complete` applies it to one photo.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glcic.inference.completer import Completer
    from glcic.inference.photo import complete

# A thread of torch that waits for the others keeps its core from them if another program has theirs; this is how many
# rounds it tries before it sleeps. By default, a busy machine trains ten times slower; an idle one does not notice
# (tools/speed_shared.py). Read when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__all__ = ["Completer", "complete"]


def __getattr__(name: str) -> Any:
    """Import a name on first use, because torch takes seconds to import and most commands do not need it."""
    module = {"Completer": "completer", "complete": "photo"}.get(name)
    if module is None:
        raise AttributeError(f"module 'glcic' has no attribute {name!r}")
    return getattr(import_module(f"glcic.inference.{module}"), name)
