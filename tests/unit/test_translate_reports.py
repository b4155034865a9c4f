"""tools/translate_reports.py on a report of version 0.1 that somebody kept."""

import json
import subprocess
import sys
from pathlib import Path

from glcic.experiments.verify import read_numbers, read_tolerances
from support.project import ROOT


def scores(psnr: float | None) -> dict[str, float | None]:
    return {"l1_hole": 6.0, "l1": 1.5, "psnr": psnr, "psnr_hole": 20.0, "ssim": 0.8, "ssim_hole": 0.6}


def test_a_kept_report_is_translated_once(tmp_path: Path) -> None:
    report = tmp_path / "mine"
    (report / "curves").mkdir(parents=True)
    metrics = {split: {"center": scores(24.0), "box": scores(26.0)} for split in ("val", "test")}
    metrics["test"]["box"] = scores(None)
    files = {
        "metrics.json": json.dumps(metrics),
        "methods.csv": "mask_set,method,psnr\ncenter,completion,24.0\nbox,completion,\n",
        "tolerances.json": json.dumps(
            {"about": "", "metrics.json": {s: {"center": scores(0.2), "box": scores(0.4)} for s in metrics}}
            | {"methods.csv": {name: {"completion": {"psnr": 0.4}} for name in ("center", "box")}}
        ),
        "curves/train_joint.csv": "step,images,schedule,adversarial,val_variety\n2,8,1,0.5,0.9\n",
        "masks.csv": "split,faces_sha256\ntest,ab\n",
        "slices.csv": "mask_set,method,slice,bin\nborder,completion,border,touches\npooled,completion,ratio,1\n",
        "seeds.csv": "seed,split,mask_set,method,metric,value\n"
        + "".join(
            f"0,{split},{mask_set},completion,{metric},{'' if value is None else value}\n"
            for split, sets in metrics.items()
            for mask_set, of_set in sets.items()
            for metric, value in of_set.items()
        ),
        "SHA256SUMS": "1  data/faces/faces.npy\n2  models/train_joint/completion_last.safetensors\n",
    }
    for name, text in files.items():
        (report / name).write_text(text)
    command = [sys.executable, str(ROOT / "tools/translate_reports.py"), str(report)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert json.loads((report / "metrics.json").read_text()) == {
        "val": {"l1_hole": 6.0, "psnr": 25.0, "ssim": 0.8},
        "test": {"l1_hole": 6.0, "psnr": None, "ssim": 0.8},  # of box it is undefined
    }
    assert read_numbers(report)["validation.csv", "box", "completion", "psnr"] == 26.0
    tolerances = read_tolerances(report)
    assert read_numbers(report).keys() <= tolerances.keys()
    assert tolerances["metrics.json", "val", "psnr"] == 0.3
    assert (report / "curves/train_joint.csv").read_text() == (
        "step,images_seen,lr_factor,g_loss_adv,val_diversity\n2,8,1,0.5,0.9\n"
    )
    assert (report / "masks.csv").read_text() == "split,images_sha256\ntest,ab\n"
    assert (report / "slices.csv").read_text().splitlines()[1:] == [
        "border,completion,margin,touches",  # the mask set keeps its name
        "pooled,completion,area_ratio,1",
    ]
    assert "0,val,all,completion,psnr,25.0\n" in (report / "seeds.csv").read_text()
    assert (report / "SHA256SUMS").read_text().splitlines()[1:] == ["1  data/images/images.npy"]

    once = {path: path.read_bytes() for path in report.rglob("*.*")}
    subprocess.run(command, cwd=ROOT, check=True)
    assert {path: path.read_bytes() for path in report.rglob("*.*")} == once
