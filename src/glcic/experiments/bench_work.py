"""What `glcic bench` times: training steps, reading of batches, evaluation, and the peer's steps.

Each work is prepared and run in a process of its own, so that no setting of one (threads, deterministic algorithms,
memory) reaches another.
"""

import importlib.util
import resource
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv2d
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from glcic.data.batches import Batch, TrainingBatches, loader
from glcic.data.crop import crop_image
from glcic.data.packed import PackedImages
from glcic.data.sources import celeba_layout as layout
from glcic.errors import UserError
from glcic.evaluation.metrics import score
from glcic.images.reader import decode, pixels
from glcic.inference.completer import Completer, device_of
from glcic.masks.sampling import MaskSampler
from glcic.networks.discriminators import build_discriminator
from glcic.networks.generators import build_generator
from glcic.params import Params, Training
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from glcic.phases.train_joint import TrainJointPhase
from glcic.training.loop import TrainState, start_fabric, take_step
from glcic.training.phase import Phase

ADAPTER = "adapter.py"  # in the peer's folder; docs/performance.md shows one
ENDLESS = range(10**9)


@dataclass(frozen=True)
class Bench:
    """What all works have in common.

    Attributes:
        params: the parameters, those of a preset at the bench's size.
        raw: images in CelebA's layout, as `download` writes them.
        images: the same, packed by `crop`.
        jpegs: folder of the same images as JPEG files, 178×218 pixels.
        weights: weights of an untrained generator.
        local_window: side of the discriminator's local window, in pixels.
    """

    params: Params
    raw: Path
    images: Path
    jpegs: Path
    weights: Path
    local_window: int


@dataclass(frozen=True)
class Work:
    """Something to time.

    Attributes:
        run: does n units of the work, and returns the seconds of it that were spent waiting for data.
        images: number of images in a unit.
        flops: floating-point operations in a unit, in convolutions and matrix products; 0 if not counted.
    """

    run: Callable[[int], float]
    images: int = 1
    flops: int = 0


class Worker:
    """A process that does one work, on demand.

    Attributes:
        images, flops: of a unit of the work.
    """

    def __init__(self, prepare: Callable[..., Work], *args: object) -> None:
        """Start the process and prepare the work in it.

        Raises:
            UserError: the preparation failed.
        """
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare, args))  # no daemon: it may have loaders
        self._process.start()
        theirs.close()
        self.images, self.flops = self._answer()

    def run(self, n: int) -> tuple[float, float]:
        """Do n units; returns the seconds that they took, and those of them spent waiting for data."""
        self._connection.send(n)
        took, waited = self._answer()
        return took, waited

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.terminate()
        self._process.join()

    def close(self) -> int:
        """End the process; returns its peak memory in bytes: the accelerator's, or that of the whole process."""
        self._connection.send(0)
        peak: int = self._answer()
        self._process.join()
        return peak

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise UserError("a process of the bench ended unexpectedly; is there enough memory?") from None
        if isinstance(answer, str):
            raise UserError(answer)
        return answer


def _serve(connection: Connection, prepare: Callable[..., Work], args: tuple[object, ...]) -> None:
    try:
        work = prepare(*args)
        work.run(1)  # warms up
        connection.send((work.images, work.flops))
        while n := connection.recv():
            _synchronize()
            started = time.perf_counter()
            waited = work.run(n)
            _synchronize()
            connection.send((time.perf_counter() - started, waited))
        connection.send(_peak_memory())
    except UserError as error:
        connection.send(str(error))
    except Exception:
        connection.send(f"a process of the bench failed: {traceback.format_exc(limit=-3)}")


def _synchronize() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def _peak_memory() -> int:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def training(bench: Bench, stage: str, precision: str) -> Work:
    """Steps of a training stage, as the pipeline takes them: batches are drawn, read and prefetched."""
    section, phase, batches = _opened(bench, stage, precision, bench.params.runtime.compile)
    state = TrainState()

    def run(n: int) -> float:
        waited = 0.0
        for _ in range(n):
            started = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - started
            take_step(phase, batch, section, state)
        return waited

    return Work(run, section.batch_size)


def operations(bench: Bench, stage: str) -> Work:
    """Count the operations of a training step; they do not depend on the precision."""
    # Without compilation, which the counter cannot look into.
    section, phase, batches = _opened(bench, stage, "32-true", compile_it=False)
    with FlopCounterMode(display=False) as counter:
        take_step(phase, next(batches), section, TrainState())
    return Work(lambda n: 0.0, flops=counter.get_total_flops())


def _opened(bench: Bench, stage: str, precision: str, compile_it: bool) -> tuple[Training, Phase, Iterator[Batch]]:
    """Section, phase with untrained networks, and batches of a training stage."""
    params = bench.params
    section = getattr(params, stage).model_copy(update={"precision": precision})
    fabric = start_fabric(params.runtime, section)
    G = build_generator(params.networks.generator, params.input)
    D = build_discriminator(params.networks.discriminator, params.crop.image_size)
    common = params.input, PackedImages(bench.images, "train").mean_pixel, compile_it
    phase: Phase
    if stage == "pretrain_generator":
        phase = PretrainGeneratorPhase(fabric, G, section, *common)
    elif stage == "pretrain_discriminators":
        phase = PretrainDiscriminatorsPhase(fabric, G, D, section, params.gan, *common)
    else:
        phase = TrainJointPhase(fabric, G, D, section, params.gan, *common)
    return section, phase, _batches(bench, stage, section.batch_size, pinned=fabric.device.type == "cuda")


def _batches(bench: Bench, stage: str, batch_size: int, *, pinned: bool = False) -> Iterator[Batch]:
    params = bench.params
    batches = TrainingBatches(
        PackedImages(bench.images, "train"),
        seed=params.seed,
        stage=stage,
        batch_size=batch_size,
        masks=params.masks,
        augmentation=params.augmentation,
        local_window=bench.local_window,
    )
    return loader(batches, ENDLESS, params.runtime.num_workers, pinned)


def require_adapter(folder: Path) -> Path:
    """The adapter in a peer's folder.

    Raises:
        UserError: there is none.
    """
    file = folder / ADAPTER
    if not file.is_file():
        raise UserError(f"{file}: no such file; write an adapter as docs/performance.md shows")
    return file


def peer(bench: Bench, folder: Path, stage: str) -> Work:
    """Steps of another implementation, by the adapter in its folder, which reads the images in its own way.

    Raises:
        UserError: the adapter does not exist, fails, or has no such stage.
    """
    params = bench.params
    torch.set_num_threads(params.runtime.num_threads)
    file = require_adapter(folder)
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("adapter", file)
    assert spec is not None
    assert spec.loader is not None
    adapter = importlib.util.module_from_spec(spec)
    batch_size = getattr(params, stage).batch_size
    try:
        spec.loader.exec_module(adapter)
        steps = adapter.steps(
            jpegs=bench.jpegs,
            image_size=params.crop.image_size,
            local_window=bench.local_window,
            hole_sides=tuple(params.masks.size_range),  # type: ignore[union-attr]  # boxes
            batch_size=batch_size,
            mean_pixel=PackedImages(bench.images, "train").mean_pixel,
            device=device_of(params.runtime.accelerator),
        )
        step = dict(steps).get(stage)
    except (Exception, SystemExit) as error:
        raise UserError(f"{file}: {type(error).__name__}: {error}; correct it, see docs/performance.md") from None
    if step is None:
        raise UserError(f"{file}: steps() has no {stage}, only {', '.join(steps)}; add it")
    return Work(lambda n: _repeat(step, n), batch_size)


def _repeat(do: Callable[[], object], n: int) -> float:
    for _ in range(n):
        do()
    return 0.0


def peak(bench: Bench, precision: str, kind: str) -> Work:
    """A large matrix product, or a convolution as in the middle of the generator, at full width: the device's best."""
    runtime = bench.params.runtime
    torch.set_num_threads(runtime.num_threads)
    device = device_of(runtime.accelerator)
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    side = 2048 if device.type == "cpu" else 8192
    if kind == "matmul":
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in "ab")
        return Work(lambda n: _repeat(lambda: a @ b, n), flops=2 * side**3)
    size, channels = bench.params.crop.image_size // 4, 256
    images = bench.params.train_joint.batch_size * (1 if device.type == "cpu" else 4)
    x = torch.randn(images, channels, size, size, device=device).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    flops = 2 * images * channels * channels * 9 * size * size
    with torch.no_grad():
        return Work(lambda n: _repeat(lambda: conv2d(x, weight, padding=1), n), flops=flops)


def packed_batches(bench: Bench, batch_size: int) -> Work:
    """Batches as the pipeline prepares them: packed images, flips, masks and local windows."""
    torch.set_num_threads(bench.params.runtime.num_threads)
    batches = _batches(bench, "train_joint", batch_size)
    return Work(lambda n: _repeat(lambda: next(batches), n), batch_size)


def jpeg_batches(bench: Bench, batch_size: int) -> Work:
    """Batches as most published code prepares them: torchvision's data set and transforms on a folder of JPEG files.

    They have no masks.
    """
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    torch.set_num_threads(bench.params.runtime.num_threads)
    transform = v2.Compose(
        [
            v2.CenterCrop(bench.params.crop.center_crop or 178),
            v2.Resize(bench.params.crop.image_size),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
        ]
    )
    images = ImageFolder(str(bench.jpegs.parent), transform)
    workers = bench.params.runtime.num_workers

    def endless() -> Iterator[Any]:
        while True:
            yield from DataLoader(images, batch_size, shuffle=True, drop_last=True, num_workers=workers)

    batches = endless()
    return Work(lambda n: _repeat(lambda: next(batches), n), batch_size)


def cropping(bench: Bench) -> Work:
    """Originals of 178×218 pixels, decoded, cropped and scaled, in one process."""
    with zipfile.ZipFile(bench.raw / layout.IMAGES) as archive:
        originals = [archive.read(name) for name in layout.members(bench.raw / layout.IMAGES)[:64]]
    crop = bench.params.crop
    return Work(
        lambda n: _repeat(lambda: [crop_image(data, crop.image_size, crop.center_crop) for data in originals], n),
        len(originals),
    )


def evaluation(bench: Bench) -> Work:
    """Completion of test images by a generator, and their scores, in one thread, as in each process of `evaluate`."""
    torch.set_num_threads(1)
    device, batch_size = device_of(bench.params.runtime.accelerator), bench.params.evaluate.batch_size
    completer = Completer(bench.weights, device)
    packed = PackedImages(bench.images, "test")
    images = packed.read(np.arange(min(batch_size, len(packed))))
    masks, _, _ = MaskSampler(bench.params.masks, packed.image_size, packed.image_size).sample(
        np.random.default_rng(0), len(images)
    )

    def score_all() -> None:
        for triple in zip(completer(images, masks, batch_size, allow_large=True), images, masks, strict=True):
            score(*triple)

    return Work(lambda n: _repeat(score_all, n), len(images))


def completion(bench: Bench) -> Work:
    """One photo of 178×218 pixels with a hole of 64×64, completed by loaded weights."""
    torch.set_num_threads(bench.params.runtime.num_threads)
    completer = Completer(bench.weights)  # on the CPU, as `glcic complete`
    with zipfile.ZipFile(bench.raw / layout.IMAGES) as archive:
        data = archive.read(layout.members(bench.raw / layout.IMAGES)[0])
    photo = pixels(decode(data))[None]
    mask = np.zeros_like(photo[:, :1])
    mask[:, :, 77:141, 57:121] = 1
    return Work(lambda n: _repeat(lambda: completer(photo, mask), n))
