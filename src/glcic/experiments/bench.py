"""Speed of training, data, evaluation and completion on this machine: `glcic bench`.

Machines are shared and noisy, so what is compared is run in turn, round after round, and each ratio is taken within a
round. A number is the median over the rounds.
"""

import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ruamel.yaml import YAML
from tqdm import tqdm

from glcic import paths
from glcic.data.crop import crop_all
from glcic.data.packed import PackedImages
from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.synthetic import write_synthetic
from glcic.experiments import bench_work as works
from glcic.experiments.bench_work import Bench, Worker
from glcic.experiments.presets import overlays_of, preset_tree
from glcic.files import write_text
from glcic.inference.completer import device_of
from glcic.networks.generators import build_generator
from glcic.networks.weights import save_weights
from glcic.params import Params, validate
from glcic.report.formatting import markdown, number
from glcic.tracking.environment import device_name, git_state

PRESET = "paper"  # whose networks, losses and optimizers are timed, at the sizes below
SIZES = {"cpu": (64, 8), "gpu": (128, 96)}  # side of the images in pixels, images in a batch
FACES = {"train": 512, "val": 8, "test": 64}
DATA_BATCH = 64  # images in a batch, where reading is timed
ROUNDS, SECONDS = 9, 2.0  # how often each work is timed, and for how long at least
COMPARED = {"phase1": "pretrain_generator", "joint": "train_joint"}  # stages that a peer has, by their short names
FULL = "32-true"

Times = Mapping[str, Sequence[tuple[float, float]]]  # units per second, and share of the time spent waiting, by round


def bench(peer: Path | None) -> None:
    """Time everything, write reports/bench.json (on an accelerator, reports/bench-gpu.json), and print a table.

    Args:
        peer: folder of another implementation, with its adapter; None compares with none.

    Raises:
        UserError: there is no adapter, or it fails.
    """
    if peer:
        works.require_adapter(peer)
    with prepared() as common:
        for stage in COMPARED.values() if peer else ():  # tried first: a fault must not end a long bench
            Worker(works.peer, common, peer, stage).close()
        params, device = common.params, device_of(common.params.runtime.accelerator)
        found: dict[str, Any] = _about(params, device, peer)
        precisions = [FULL, "bf16-mixed"] if _has_bf16(device) else [FULL]
        found["phases"] = {
            stage: _phase(common, stage, precisions, peer if stage in COMPARED.values() else None)
            for stage in paths.TRAINING_STAGES
        }
        found |= _headline(found["phases"], params.crop.image_size)
        found |= _data(common)
        found |= _use(common)
    target = paths.REPORT.folder / ("bench.json" if device.type == "cpu" else "bench-gpu.json")
    write_text(target, json.dumps(_rounded(found), indent=2) + "\n")
    print(f"{table(_rounded(found))}\n\nwrote {target}", flush=True)


def _has_bf16(device: torch.device) -> bool:
    """Whether the device computes with bfloat16 in hardware; elsewhere it is slower than 32 bits."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _about(params: Params, device: torch.device, peer: Path | None) -> dict[str, Any]:
    """What the numbers are of."""
    return {
        "device": device_name(str(device)),
        "threads": params.runtime.num_threads,
        "loader_processes": params.runtime.num_workers,
        "compile": params.runtime.compile,
        "torch": torch.__version__,
        "code": git_state(Path(), paths.CODE),
        "preset": PRESET,
        "image_size": params.crop.image_size,
        "batch_size": params.train_joint.batch_size,
        "peer": _about_peer(peer) if peer else None,
    }


def _about_peer(folder: Path) -> dict[str, Any]:
    """Name and commit of another implementation, from its git repository."""
    state = git_state(folder, ["."])
    config = folder / ".git/config"
    lines = config.read_text().splitlines() if config.exists() else []
    urls = [line.partition("=")[2].strip() for line in lines if line.strip().startswith("url")]
    name = "/".join(urls[0].removesuffix(".git").replace(":", "/").split("/")[-2:]) if urls else folder.resolve().name
    return {"name": name, "commit": state["commit"] if state else None}


@contextmanager
def prepared() -> Iterator[Bench]:
    """Draw faces, pack them, and save an untrained generator, in a temporary folder."""
    params = _params()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        raw, jpegs = folder / "raw", folder / "jpegs/faces"
        raw.mkdir()
        processes = params.runtime.num_threads
        write_synthetic(raw, **FACES, seed=0, processes=processes)
        crop = params.crop
        size, side = crop.image_size, crop.center_crop
        crop_all(raw, folder / "images", image_size=size, center_crop=side, max_skipped_fraction=0, processes=processes)
        with zipfile.ZipFile(raw / layout.IMAGES) as archive:
            archive.extractall(folder / "unpacked")
        shutil.move(folder / "unpacked" / layout.CELEBA_FOLDER.rstrip("/"), jpegs)
        about = {
            "generator": params.networks.generator.model_dump(mode="json"),
            "input": params.input.model_dump(mode="json"),
            "mean_pixel": PackedImages(folder / "images", "train").mean_pixel,
            "image_size": size,
            "step": 0,
        }
        weights = folder / "generator.safetensors"
        save_weights(weights, build_generator(params.networks.generator, params.input).state_dict(), about)
        yield Bench(params, raw, folder / "images", jpegs, weights, size // 2)


def _params() -> Params:
    """The preset at the bench's size, with the project's section runtime."""
    tree = preset_tree(paths.PRESETS, overlays_of(PRESET, paths.PRESETS), paths.PARAMS, YAML(typ="safe"))
    file = paths.PRESETS / f"{PRESET}.yaml"
    on_gpu = device_of(validate(tree, file).runtime.accelerator).type != "cpu"
    size, batch_size = SIZES["gpu" if on_gpu else "cpu"]
    tree["runtime"]["devices"] = 1
    tree["crop"]["image_size"] = size
    tree["networks"]["discriminator"]["local_window"] = size // 2
    tree["masks"]["size_range"] = [size * 3 // 8, size // 2]
    tree["augmentation"] |= {"flip": 0.5, "crop": [1.0, 1.0]}
    for stage in paths.TRAINING_STAGES:
        tree[stage]["batch_size"] = batch_size
    return validate(tree, file)


def _phase(common: Bench, stage: str, precisions: Sequence[str], peer: Path | None) -> dict[str, Any]:
    """Speed of a phase by precision, beside the device's peak and the peer."""
    ours = {f"ours {p}": (works.training, stage, p) for p in precisions}
    peaks = {f"{kind} {p}": (works.peak, p, kind) for p in precisions for kind in ("matmul", "conv")}
    theirs = {"peer": (works.peer, peer, stage)} if peer else {}
    times, units, memory = _timed(common, ours | theirs | peaks, stage)
    counting = Worker(works.operations, common, stage)  # in a process of its own: it takes memory
    flops = counting.flops
    counting.close()
    found: dict[str, Any] = {}
    for precision in precisions:
        name = f"ours {precision}"
        images, _ = units[name]
        best = [
            max(times[f"{kind} {precision}"][k][0] * units[f"{kind} {precision}"][1] for kind in ("matmul", "conv"))
            for k in range(ROUNDS)
        ]
        achieved = [rate * flops for rate, _ in times[name]]
        found[precision] = {
            "images_per_second": median(rate * images for rate, _ in times[name]),
            "wait_share": median(waited for _, waited in times[name]),
            "gflops_per_second": median(achieved) / 1e9,
            "peak_gflops_per_second": median(best) / 1e9,
            "share_of_peak": median(a / b for a, b in zip(achieved, best, strict=True)),
            "peak_memory_mb": memory[name] / 1e6,
        }
        if peer:
            found[precision] |= {"vs_peer": _ratio(times, units, name, "peer")}
    if peer:
        found["peer"] = {
            "images_per_second": median(rate * units["peer"][0] for rate, _ in times["peer"]),
            "peak_memory_mb": memory["peer"] / 1e6,
        }
    return found


def _headline(phases: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The most asked-for numbers, on top: ratios to the peer, and the largest share of waiting."""
    found: dict[str, Any] = {}
    for short, stage in COMPARED.items():
        for precision, suffix in ((FULL, ""), ("bf16-mixed", "_bf16")):
            if (ratio := phases[stage].get(precision, {}).get("vs_peer")) is not None:
                found[f"{short}_vs_peer_{size}{suffix}"] = ratio["median"]
    shares = [phases[stage][p]["wait_share"] for stage in phases for p in phases[stage] if p != "peer"]
    return found | {"wait_share": max(shares)}


def _data(common: Bench) -> dict[str, Any]:
    """Speed of cropping, and of reading batches."""
    these = {
        "packed": (works.packed_batches, DATA_BATCH),
        "jpeg": (works.jpeg_batches, DATA_BATCH),
        "cropping": (works.cropping,),
    }
    times, units, _ = _timed(common, these, "data")
    rates = {name: median(rate * units[name][0] for rate, _ in times[name]) for name in these}
    ratio = _ratio(times, units, "packed", "jpeg")
    return {
        "batches_vs_jpeg": ratio["median"],
        "data": {f"{name}_images_per_second": rate for name, rate in rates.items()} | {"batches_vs_jpeg": ratio},
    }


def _use(common: Bench) -> dict[str, Any]:
    """Speed of evaluation and completion."""
    times, units, _ = _timed(common, {"evaluation": (works.evaluation,), "completion": (works.completion,)}, "use")
    return {
        "evaluation_images_per_second": median(rate * units["evaluation"][0] for rate, _ in times["evaluation"]),
        "completion_ms": median(1000 / rate for rate, _ in times["completion"]),
    }


def _timed(
    common: Bench, prepared: Mapping[str, tuple[Any, ...]], what: str
) -> tuple[Times, dict[str, tuple[int, int]], dict[str, int]]:
    """Time works in turn.

    Args:
        common: what they share.
        prepared: by name, the function that prepares the work, and its arguments.
        what: title of the progress bar.

    Returns:
        The times; images and operations of a unit; and peak memory in bytes; each by name.
    """
    workers: dict[str, Worker] = {}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in prepared}
    with (
        _ended(workers),
        tqdm(total=len(prepared) * (1 + ROUNDS), desc=f"bench {what}", unit=" runs", disable=None) as bar,
    ):
        repeats = {}
        for name, (prepare, *args) in prepared.items():
            workers[name] = Worker(prepare, common, *args)
            once, _ = workers[name].run(1)
            repeats[name] = math.ceil(SECONDS / once)
            bar.update()
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                took, waited = worker.run(repeats[name])
                times[name].append((repeats[name] / took, waited / took))
                bar.update()
        memory = {name: worker.close() for name, worker in workers.items()}
    print(f"bench: {what} timed", flush=True)
    return times, {name: (worker.images, worker.flops) for name, worker in workers.items()}, memory


@contextmanager
def _ended(workers: Mapping[str, Worker]) -> Iterator[None]:
    """End the processes if one of them fails, or the user stops the bench."""
    try:
        yield
    except BaseException:
        for worker in workers.values():
            worker.stop()
        raise


def _ratio(times: Times, units: Mapping[str, tuple[int, int]], name: str, other: str) -> dict[str, float]:
    """Ratio of images per second, taken in each round."""
    ratios = [
        ours * units[name][0] / (theirs * units[other][0])
        for (ours, _), (theirs, _) in zip(times[name], times[other], strict=True)
    ]
    return {"median": median(ratios), "min": min(ratios), "max": max(ratios)}


def _rounded(value: Any) -> Any:
    """Round every number to four significant digits."""
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def table(found: Mapping[str, Any]) -> str:
    """Table of the measurements, as Markdown.

    Args:
        found: content of bench.json.
    """
    header = ["phase", "precision", "images/s", "× peer", "GFLOP/s", "of peak", "waiting", "memory"]
    rows = [
        [
            stage,
            precision,
            number(one["images_per_second"], 1),
            _ratio_text(one.get("vs_peer")),
            number(one["gflops_per_second"], 0),
            f"{100 * one['share_of_peak']:.0f} %",
            f"{100 * one['wait_share']:.2f} %",
            f"{one['peak_memory_mb']:,.0f} MB",
        ]
        for stage, precisions in found["phases"].items()
        for precision, one in precisions.items()
        if precision != "peer"
    ]
    data = found["data"]
    others = [
        ["batches of packed images", f"{number(data['packed_images_per_second'], 0)} images/s"],
        ["batches of JPEG files", f"{number(data['jpeg_images_per_second'], 0)} images/s"],
        ["packed over JPEG", _ratio_text(data["batches_vs_jpeg"])],
        ["cropping, one process", f"{number(data['cropping_images_per_second'], 0)} images/s"],
        ["evaluation, one process", f"{number(found['evaluation_images_per_second'], 0)} images/s"],
        ["completing a photo of 178×218", f"{number(found['completion_ms'], 0)} ms"],
    ]
    peer = f"; the peer is {found['peer']['name']} at {str(found['peer']['commit'])[:7]}" if found["peer"] else ""
    size = f"S = {found['image_size']}, batches of {found['batch_size']}"
    about = f"{found['device']}, {found['threads']} threads; preset {found['preset']} at {size}{peer}."
    return f"{about}\n\n{markdown(header, rows)}\n\n{markdown(['other work', 'speed'], others)}"


def _ratio_text(ratio: Mapping[str, float] | None) -> str:
    return f"{ratio['median']:.2f} [{ratio['min']:.2f}, {ratio['max']:.2f}]" if ratio else "–"
