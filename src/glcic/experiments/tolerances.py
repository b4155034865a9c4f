"""Tolerances of a report's numbers: what a rebuild may differ by on another processor or with other threads.

tools/measure_tolerances.py rebuilds a report under such variations; this is what it makes of their numbers.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Context
from typing import Any

from glcic.experiments.verify import ABOUT, Name, Numbers, place

TRAINED = ("completion", "blended", "pretrained")  # methods whose scores rest on a training


def tolerances(reported: Numbers, rebuilt: Sequence[Numbers]) -> dict[Name, float]:
    """Find the tolerance of each number: that of its metric on its mask set, rounded up to two digits.

    It is the largest difference between the report and any rebuild, of both splits, among the scores of the methods
    that rest on a training; the difference of a single number may be small by chance. Methods that train nothing have
    their own: 0, where no rebuild differs.

    Args:
        reported: numbers of the report.
        rebuilt: numbers of its rebuilds, which have the same names.

    Returns:
        Tolerances by the numbers' names, in the numbers' own units; none where a score is undefined in all reports.
    """
    largest: dict[tuple[str, str, bool], float] = {}
    for name, value in reported.items():
        for other in (numbers[name] for numbers in rebuilt):
            if value is not None and other is not None:
                largest[_group(name)] = max(largest.get(_group(name), 0.0), abs(other - value))
    return {name: _rounded_up(largest[_group(name)]) for name in reported if _group(name) in largest}


def _group(name: Name) -> tuple[str, str, bool]:
    _, mask_set, method, metric = place(name)
    return mask_set, metric, method in TRAINED


def _rounded_up(difference: float) -> float:
    # First round as in the reports, so that 0.3 - 0.1 is 0.2 and not slightly more.
    return float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(round(difference, 6))))


def write_tolerances(found: Mapping[Name, float], said: str) -> str:
    """Format a tolerances.json file.

    Args:
        found: tolerances of the numbers.
        said: description of the rebuilds.
    """
    tree: dict[str, Any] = {
        ABOUT: "For each metric and mask set, the largest difference between the report and its rebuilds among the "
        "scores of the trained networks, or among those of the methods that train nothing, rounded up to two digits. "
        f"Rebuilds: {said}. L1 is in percent, PSNR in dB."
    }
    for name, value in found.items():
        branch = tree
        for key in name[:-1]:
            branch = branch.setdefault(key, {})
        branch[name[-1]] = value
    return json.dumps(tree, indent=2) + "\n"
