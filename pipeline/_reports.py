"""Where the files of a report lie that only evaluation and what follows it know of.

Apart from _stage.py, which all stages depend on: another file of a report must not make anybody train again.
"""

from pipeline._stage import MODELS, REPORTS

MASKS = REPORTS / "masks.csv"  # the manifest: which holes were scored, and their hashes
HOLES = REPORTS / "masks.npz"  # the holes themselves
GALLERY = REPORTS / "gallery"
INTERVALS = REPORTS / "intervals.csv"
DIFFERENCES = REPORTS / "differences.csv"
SLICES = REPORTS / "slices.csv"
PAGE = REPORTS / "index.html"
CARD = MODELS / "model_card.md"
