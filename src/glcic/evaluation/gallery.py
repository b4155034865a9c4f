"""Which completions are shown: the best, the median and the worst of a mask set."""

import numpy as np
import pandas as pd

RANKS = ("best", "median", "worst")
BY = "l1_hole"


def chosen(scores: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k best, the k around the median, and the k worst images by L1 over the hole; fewer where there are fewer.

    Args:
        scores: of one method on one mask set, a row per image, in the order of the split.

    Returns:
        rank, item (number within the split), row, file, l1_hole, psnr; best first, worst last.
    """
    order = np.argsort(scores[BY].to_numpy(), kind="stable")
    n = len(order)
    k = min(k, n // len(RANKS)) if n >= len(RANKS) else 0
    middle = (n - k) // 2
    picked = {"best": order[:k], "median": order[middle : middle + k], "worst": order[n - k :]}
    parts = [
        scores.iloc[items][["row", "file", BY, "psnr"]].assign(rank=rank, item=items) for rank, items in picked.items()
    ]
    return pd.concat(parts, ignore_index=True)[["rank", "item", "row", "file", BY, "psnr"]]
