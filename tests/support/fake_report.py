"""Report folder with made-up scores, as the stages before `report` leave it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from glcic.evaluation.definitions import ALL, MASK_SETS, METHODS

QUALITY = {  # mean L1 over the hole of a method, in percent
    "completion": 8.8,
    "blended": 8.7,
    "pretrained": 8.5,
    "mean_fill": 21.5,
    "telea": 18.5,
    "navier_stokes": 19.3,
    "biharmonic": 17.0,
    "nearest": 16.0,
}
DRAWN = tuple(mask_set for mask_set in MASK_SETS if mask_set != "files")
AREAS = {"center": 0.25, "box": 0.21, "fixed": 0.0625, "border": 0.21, "half": 0.5}


def scores(
    people: int | None, images: int, methods: Sequence[str], mask_sets: Sequence[str], size: int = 64, seed: int = 0
) -> pd.DataFrame:
    """Table of scores as in scores.csv: test images of `people` people (None: unknown), and half as many of val."""
    rng = np.random.default_rng(seed)
    person = np.sort(rng.integers(people, size=images)) if people else None
    kindness = (rng.normal(0, 1.2, people)[person] if person is not None else 0) + rng.normal(0, 1.5, images)
    parts = []
    for split, n in (("val", images // 2), ("test", images)):
        brightness = rng.uniform(0.2, 0.8, n)
        for mask_set in mask_sets:
            low, high = (int(x) for x in mask_set.split("_")[1:]) if mask_set.startswith("strokes") else (0, 0)
            ratio = rng.uniform(low, high, n) / 100 if high else np.full(n, AREAS.get(mask_set, 0.2))
            margin = rng.integers(0, size // 3, n) * (mask_set not in ("border", "half"))
            for method in methods if split == "test" else ["completion"]:
                l1_hole = np.maximum(0.2, QUALITY[method] * (0.8 + 0.8 * ratio) + kindness[:n] + rng.normal(0, 0.6, n))
                psnr = 42 - 8 * np.log10(l1_hole * ratio * 100)
                ssim = np.clip(1 - l1_hole / 60 - ratio / 10, 0, 1)
                table = pd.DataFrame(
                    {
                        "split": split,
                        "mask_set": mask_set,
                        "method": method,
                        "row": np.arange(n),
                        "file": [f"{i:06}.jpg" for i in range(n)],
                        "identity": person[:n] if person is not None else np.nan,
                        "top": 8,
                        "left": 8,
                        "height": 16,
                        "width": 16,
                        "area_ratio": ratio,
                        "margin": margin,
                        "brightness": brightness,
                        "l1_hole": l1_hole,
                        "l1": l1_hole * ratio,
                        "psnr": psnr,
                        "psnr_hole": psnr + 10 * np.log10(ratio),
                        "ssim": ssim,
                        "ssim_hole": ssim - 0.2,
                    }
                )
                if method == "nearest":  # it has found the image itself
                    table.loc[:2, ["l1_hole", "l1"]] = 0.0
                    table.loc[:2, ["psnr", "psnr_hole"]] = np.nan
                parts.append(table)
    return pd.concat(parts, ignore_index=True)


def write(
    folder: Path,
    people: int | None = 22,
    images: int = 660,
    methods: Sequence[str] = tuple(METHODS),
    mask_sets: Sequence[str] = DRAWN,
    size: int = 64,
    k: int = 2,
) -> pd.DataFrame:
    """Write scores.csv, methods.csv, masks.csv, curves, the figure and the gallery; returns the scores."""
    table = scores(people, images, methods, mask_sets, size)
    for name in ("curves", "figures", "gallery"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "scores.csv", index=False, float_format="%.6g")
    metrics = [str(column) for column in table.columns if column in ALL]
    means = table[table["split"] == "test"].groupby(["mask_set", "method"], sort=False)[metrics].mean().round(6)
    means.reset_index().to_csv(folder / "methods.csv", index=False)
    masks = [
        (split, name, 0, size, n, 6.25, 12.5, 25.0, f"{i:064x}", "f" * 64)
        for split, n in (("val", images // 2), ("test", images))
        for i, name in enumerate(mask_sets)
    ]
    columns = ["split", "mask_set", "seed", "size", "images", "smallest", "mean", "largest", "sha256", "images_sha256"]
    pd.DataFrame(masks, columns=columns).to_csv(folder / "masks.csv", index=False)
    _write_curves(folder / "curves")
    _write_pictures(folder, table, mask_sets, size, k)
    return table


def _write_curves(folder: Path) -> None:
    steps = np.arange(500, 16001, 500)
    alone = pd.DataFrame({"step": steps, "images_seen": 16 * steps, "lr_factor": 1.0})
    falling = np.exp(-steps / 4000)
    alone = alone.assign(g_loss_rec=0.07 + 0.08 * falling, val_l1_hole=8 + 6 * falling, val_psnr=26 - 4 * falling)
    alone.to_csv(folder / "pretrain_generator.csv", index=False)
    steps = np.arange(100, 1001, 100)
    discriminators = pd.DataFrame({"step": steps, "images_seen": 16 * steps, "lr_factor": 1.0})
    discriminators["d_loss_real"] = 0.1 + 0.4 * np.exp(-steps / 200)
    discriminators["d_loss_fake"] = 0.08 + 0.4 * np.exp(-steps / 200)
    discriminators["val_d_acc_real"] = 1 - 0.5 * np.exp(-steps / 200)
    discriminators["val_d_acc_fake"] = 1 - 0.3 * np.exp(-steps / 150)
    discriminators.to_csv(folder / "pretrain_discriminators.csv", index=False)
    steps = np.arange(200, 2001, 200)
    joint = pd.DataFrame({"step": steps, "images_seen": 16 * steps, "lr_factor": 1.0 - steps / 2000})
    noise = np.sin(steps)
    columns = {
        "g_loss_rec": 0.08 + 0.002 * noise,
        "g_loss_adv": 3 + 0.4 * noise,
        "d_loss_real": 0.25 + 0.05 * noise,
        "d_loss_fake": 0.2 - 0.04 * noise,
        "val_l1_hole": 8 + 0.05 * noise,
        "val_psnr": 26.4 - 0.1 * noise,
        "val_d_acc_real": 0.9 + 0.05 * noise,
        "val_d_acc_fake": 0.9 - 0.08 * noise,
        "val_grad_norm_rec": 0.02 + 0.005 * noise,
        "val_grad_norm_adv": 4 + 2 * noise,
        "val_grad_norm_ratio": 0.2 + 0.05 * noise,
        "val_saturated": 0.01 + 0.002 * noise,
        "val_diversity": 0.95 + 0.02 * noise,
    }
    joint.assign(**columns).to_csv(folder / "train_joint.csv", index=False)


def _write_pictures(folder: Path, table: pd.DataFrame, mask_sets: Sequence[str], size: int, k: int) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (6 * size, 10 * size, 3), np.uint8)).save(folder / "figures/completions.png")
    listed = []
    for name in mask_sets:
        of_set = table[(table["split"] == "test") & (table["mask_set"] == name) & (table["method"] == "completion")]
        order = of_set.sort_values("l1_hole")
        middle = len(order) // 2
        ranks = {"best": order[:k], "median": order[middle : middle + k], "worst": order[-k:]}
        listed += [rows.assign(rank=rank) for rank, rows in ranks.items()]
        tiles = rng.integers(0, 256, (3 * k * size, 4 * size, 3), np.uint8)
        Image.fromarray(tiles).save(folder / "gallery" / f"{name}.png")
    index = pd.concat(listed)[["mask_set", "rank", "row", "file", "l1_hole", "psnr"]]
    index.to_csv(folder / "gallery/index.csv", index=False)
