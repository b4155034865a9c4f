"""Typed, validated models of all parameters: one class per section of params.yaml."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from glcic.errors import UserError
from glcic.paths import TRAINING_STAGES
from glcic.renamed import VALUES, refuse_old_names

# The sections that belong to a machine, for reading the parameters of a report that another one made.
PLAINEST: dict[str, Any] = {
    "runtime": {
        "accelerator": "cpu",
        "devices": 1,
        "num_threads": 1,
        "num_workers": 0,
        "compile": False,
        "deterministic": True,
        "celeba_dir": None,
        "image_folder": None,
    },
    "tracking": {"enabled": False, "experiment": "glcic"},
}

SHOWN = 5  # differences in a message
_MISSING = object()

STRIDE = {"glcic": 4, "unet_attention": 8}  # generators halve the side two or three times

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
S = TypeVar("S", bound="Section")
T = TypeVar("T")

# Sections whose `name` decides which other parameters they have.
CHOICES = ("generator", "discriminator", "masks", "optimizer", "optimizer_g", "optimizer_d")


class Section(BaseModel):
    """Base class of all sections: immutable, without unknown keys or silent type conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Runtime(Section):
    """Where and how to compute. It may change rounding, never the method; no stage depends on it."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Count
    num_threads: Count
    num_workers: Annotated[int, Field(ge=0)]
    compile: bool
    deterministic: bool
    celeba_dir: str | None
    image_folder: str | None


class Tracking(Section):
    """Settings of the MLflow tracking. No stage depends on them."""

    enabled: bool
    experiment: Annotated[str, Field(min_length=1)]


class Synthetic(Section):
    """Number of synthetic faces in each split."""

    train: Count
    val: Count
    test: Count


class CelebA(Section):
    """Which CelebA files to use, and where to download them."""

    allow_subset: bool
    zip_md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None
    mirrors: list[str]

    @model_validator(mode="after")
    def _subset_needs_md5(self) -> Self:
        if self.allow_subset and self.zip_md5 is None:
            raise ValueError("allow_subset: true needs zip_md5, the MD5 of the smaller zip")
        return self


class ImageFolder(Section):
    """How a folder of the user's own images is split into train, val and test."""

    split_ratios: Annotated[list[Share], Field(min_length=3, max_length=3)]
    split_file: str | None
    zip_md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None

    @model_validator(mode="after")
    def _ratios_sum_to_one(self) -> Self:
        if not math.isclose(sum(self.split_ratios), 1, abs_tol=1e-6):
            raise ValueError(f"split_ratios must sum to 1, not {sum(self.split_ratios):g}")
        return self


class Download(Section):
    """The source of the images, and the settings of each source."""

    source: Literal["synthetic", "celeba", "image_folder"]
    synthetic: Synthetic
    celeba: CelebA
    image_folder: ImageFolder


class Crop(Section):
    """How images are cropped and resized, and what share of them may be skipped."""

    image_size: Annotated[int, Field(ge=16, le=1024, multiple_of=4)]
    center_crop: Annotated[int, Field(ge=16)] | None
    max_skipped_fraction: Share


Norm = Literal["none", "batch", "instance"]
Activation = Literal["relu", "leaky_relu"]
Convolution = Literal["plain", "gated"]
OutputActivation = Literal["sigmoid", "tanh", "clamp"]
Head = Literal["fused", "per_branch"]


class GlcicParams(Section):
    """The paper's generator and its variants."""

    name: Literal["glcic"]
    width_multiplier: Rate
    norm: Norm
    activation: Activation
    convolution: Convolution
    output_activation: OutputActivation


class UNetParams(Section):
    """The U-Net with self-attention; its output is tanh."""

    name: Literal["unet_attention"]
    channels: Annotated[int, Field(ge=8, multiple_of=8)]


class GlobalLocalParams(Section):
    """The paper's discriminator with a global and a local branch, and its variants."""

    name: Literal["global_local"]
    width_multiplier: Rate
    local_window: Annotated[int, Field(ge=8)]
    global_layers: Annotated[int, Field(ge=1, le=6)]
    local_layers: Annotated[int, Field(ge=1, le=6)]
    norm: Norm
    activation: Activation
    head: Head
    spectral_norm: bool
    mask_channel: bool

    @model_validator(mode="after")
    def _norm_fits(self) -> Self:
        _refuse_spectral_norm_with(self.norm, self.spectral_norm)
        return self


class PatchGANParams(Section):
    """The PatchGAN discriminator, which scores every patch of the image."""

    name: Literal["patchgan"]
    channels: Count
    norm: Norm
    spectral_norm: bool
    mask_channel: bool

    @model_validator(mode="before")
    @classmethod
    def _no_window(cls, values: Any) -> Any:
        if isinstance(values, dict) and "local_window" in values:
            raise ValueError("local_window: patchgan judges every patch of the whole image; remove it")
        return values

    @model_validator(mode="after")
    def _norm_fits(self) -> Self:
        _refuse_spectral_norm_with(self.norm, self.spectral_norm)
        return self


def _refuse_spectral_norm_with(norm: Norm, spectral_norm: bool) -> None:
    if spectral_norm and norm != "none":
        raise ValueError(f"spectral_norm: bounds nothing where {norm} norm then scales each channel; set norm: none")


class Networks(Section):
    """The generator and the discriminator."""

    generator: Annotated[GlcicParams | UNetParams, Field(discriminator="name")]
    discriminator: Annotated[GlobalLocalParams | PatchGANParams, Field(discriminator="name")]


Fill = Literal["mean", "mid_gray", "surroundings"] | Share


def _known_range(pixel_range: list[int]) -> list[int]:
    if pixel_range not in ([0, 1], [-1, 1]):
        raise ValueError(f"must be [0, 1] or [-1, 1], not {pixel_range}")
    return pixel_range


class Input(Section):
    """How an image with a hole is presented to the networks."""

    pixel_range: Annotated[list[int], AfterValidator(_known_range)]
    fill: Fill
    mask_dilation: Annotated[int, Field(ge=0)]

    @property
    def symmetric(self) -> bool:
        """True if pixels lie in [-1, 1], False if they lie in [0, 1]."""
        return self.pixel_range == [-1, 1]


def _ordered(bounds: list[T]) -> list[T]:
    if bounds != sorted(bounds):  # type: ignore[type-var]  # they are numbers
        raise ValueError(f"must be [smallest, largest], not {bounds}")
    return bounds


Two = Field(min_length=2, max_length=2)
Bounds = Annotated[list[T], Two, AfterValidator(_ordered)]


class MaskKind(Section):
    """One kind of masks; in a list of several, it has a weight."""

    weight: Annotated[Rate | None, Field(exclude_if=lambda weight: weight is None)] = None


class BoxMasks(MaskKind):
    """Rectangles of random size at random positions."""

    name: Literal["box"]
    size_range: Bounds[Count]
    margin: Annotated[int, Field(ge=0)]
    num_boxes: Bounds[Count]


class CenterMask(MaskKind):
    """A square in the middle of the image."""

    name: Literal["center"]
    size: Count


class BorderMasks(MaskKind):
    """Rectangles that touch an edge of the image."""

    name: Literal["border"]
    size_range: Bounds[Count]


class HalfMasks(MaskKind):
    """The left, right, upper or lower half of the image."""

    name: Literal["half"]


class StrokeMasks(MaskKind):
    """Free-form brush strokes that cover a given share of the image."""

    name: Literal["strokes"]
    area_ratio: Bounds[Annotated[float, Field(gt=0, lt=1)]]


class MaskFolder(Section):
    """A folder of masks, white where the hole is."""

    folder: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FileMasks(MaskKind, MaskFolder):
    """Masks from image files."""

    name: Literal["files"]


AnyKind = BoxMasks | CenterMask | BorderMasks | HalfMasks | StrokeMasks | FileMasks


def _weighted(kinds: list[AnyKind]) -> list[AnyKind]:
    if missing := [f"masks.{k} ({kind.name})" for k, kind in enumerate(kinds) if kind.weight is None]:
        raise ValueError(f"each kind in a list needs a weight, as weight: 1.0; {', '.join(missing)} has none")
    return kinds


def _alone(kind: AnyKind) -> AnyKind:
    if kind.weight is not None:
        raise ValueError("remove weight, since there is one kind of masks; or make masks a list of several")
    return kind


# One kind, or a list of several with weights. The tags are told apart by hand, since a list has no `name`.
MaskParams = Annotated[
    Annotated[Annotated[AnyKind, Field(discriminator="name")], AfterValidator(_alone), Tag("one")]
    | Annotated[
        list[Annotated[AnyKind, Field(discriminator="name")]],
        Field(min_length=1),
        AfterValidator(_weighted),
        Tag("several"),
    ],
    Discriminator(lambda masks: "several" if isinstance(masks, list) else "one"),
]


def kinds_of(masks: AnyKind | Sequence[AnyKind]) -> list[AnyKind]:
    """The kinds of masks in the section `masks`: one, or several."""
    return list(masks) if isinstance(masks, Sequence) else [masks]


def shares_of(kinds: Sequence[AnyKind]) -> list[float]:
    """The share of each kind among the masks; the shares sum to 1."""
    weights = [1.0 if kind.weight is None else kind.weight for kind in kinds]  # only a single kind has none
    return [weight / sum(weights) for weight in weights]


class Augmentation(Section):
    """Random changes to the training images."""

    flip: Share
    crop: Bounds[Annotated[float, Field(gt=0, le=1)]]
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]


Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Two]


class Adam(Section):
    """Settings of Adam."""

    name: Literal["adam"]
    lr: Rate
    betas: Betas


class AdamW(Section):
    """Settings of AdamW, which decouples weight decay."""

    name: Literal["adamw"]
    lr: Rate
    betas: Betas
    weight_decay: Annotated[float, Field(ge=0)]


class Adadelta(Section):
    """Settings of Adadelta, the paper's optimizer."""

    name: Literal["adadelta"]
    lr: Rate
    rho: Annotated[float, Field(gt=0, lt=1)]


OptimizerParams = Annotated[Adam | AdamW | Adadelta, Field(discriminator="name")]
LRSchedule = Literal["constant", "linear", "cosine"]


class Training(Section):
    """Settings shared by the three training stages."""

    steps: Annotated[int, Field(ge=0)]
    batch_size: Count
    grad_accum_steps: Count
    max_grad_norm: Rate | None
    precision: Literal["32-true", "bf16-mixed"]
    lr_schedule: LRSchedule
    validate_every: Count
    checkpoint_every: Count


PixelLoss = Literal["mse", "l1"]


class Reconstruction(Section):
    """The generator's losses against the ground truth, and their weights."""

    pixel_loss: PixelLoss
    region: Literal["hole", "dilated", "whole"]
    pixel_weight: Annotated[float, Field(ge=0)]
    edge_weight: Annotated[float, Field(ge=0)]
    ssim_weight: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.pixel_weight == self.edge_weight == self.ssim_weight == 0:
            raise ValueError("pixel_weight, edge_weight and ssim_weight are all 0: nothing would be learned")
        return self


def _kept(path: str) -> str:
    if len(parts := Path(path).parts) > 2 and parts[:1] == ("models",) and parts[1] in TRAINING_STAGES:
        raise ValueError(f"{path}: the next training empties models/{parts[1]}; copy the file elsewhere, as to models/")
    return path


class WeightsFile(Section):
    """Weights that a training starts from."""

    path: Annotated[str, Field(min_length=1), AfterValidator(_kept)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


EmaDecay = Annotated[float, Field(gt=0, lt=1)] | None


class PretrainGenerator(Training):
    """Training of the generator alone, with the reconstruction loss."""

    init: WeightsFile | None
    reconstruction: Reconstruction
    ema_decay: EmaDecay
    optimizer: OptimizerParams


class PretrainDiscriminators(Training):
    """Training of the discriminators alone, with a fixed generator."""

    optimizer: OptimizerParams


GANLoss = Literal["bce", "hinge", "lsgan"]


class GAN(Section):
    """Adversarial loss, label smoothing and gradient penalty of the discriminators, trained alone or jointly."""

    loss: GANLoss
    real_label: Annotated[float, Field(gt=0.5, le=1)]
    r1_gamma: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _label_has_a_meaning(self) -> Self:
        if self.loss == "hinge" and self.real_label != 1:
            raise ValueError(f"real_label: hinge has no label to smooth; set it to 1.0, not {self.real_label}")
        return self


class TrainJoint(Training):
    """Joint training. The adversarial loss has a fixed weight, or one computed from the norms of the gradients."""

    reconstruction: Reconstruction
    adv_weight: Annotated[float, Field(ge=0)] | None
    adaptive_ratio: Rate | None
    ema_decay: EmaDecay
    d_skip_accuracy: (
        Annotated[float, Field(ge=0.5, le=1)] | None
    )  # at least 0.5, or an untrained discriminator would never be trained
    optimizer_g: OptimizerParams
    optimizer_d: OptimizerParams

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.adv_weight is None) == (self.adaptive_ratio is None):
            raise ValueError("adv_weight and adaptive_ratio: give one of them, and null for the other")
        return self


class Validation(Section):
    """Number of validation images used during training."""

    num_images: Count


Strokes = Literal["strokes_1_10", "strokes_10_20", "strokes_20_30", "strokes_30_40", "strokes_40_50", "strokes_50_60"]
MaskSet = Literal["center", "box", "fixed", Strokes, "border", "half", "files"]
ExtraMetric = Literal["edgeconnect", "lpips", "fid", "kid"]


def _distinct(names: list[T]) -> list[T]:
    if len(set(names)) < len(names):
        raise ValueError(f"contains a name twice: {names}")
    return names


class Evaluate(Section):
    """Masks, metrics and figures of the evaluation."""

    mask_sets: Annotated[list[MaskSet], Field(min_length=1), AfterValidator(_distinct)]
    mask_seed: Seed
    mask_folder: MaskFolder | None
    extra_metrics: Annotated[list[ExtraMetric], AfterValidator(_distinct)]
    images: Count | None
    batch_size: Count
    figure_rows: Count
    gallery: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _files_are_named(self) -> Self:
        if ("files" in self.mask_sets) != (self.mask_folder is not None):
            raise ValueError(
                "mask_folder: the folder and sha256 of the mask set files; give both mask_folder and files in "
                "mask_sets, or neither"
            )
        return self


class Report(Section):
    """Bootstrap intervals of the report."""

    bootstrap_samples: Annotated[int, Field(ge=100)]
    confidence_level: Annotated[float, Field(gt=0, lt=1)]


class Params(Section):
    """The whole of params.yaml."""

    preset: Annotated[str, Field(min_length=1)]
    seed: Seed
    runtime: Runtime
    tracking: Tracking
    download: Download
    crop: Crop
    input: Input
    networks: Networks
    masks: MaskParams
    augmentation: Augmentation
    gan: GAN
    validation: Validation
    pretrain_generator: PretrainGenerator
    pretrain_discriminators: PretrainDiscriminators
    train_joint: TrainJoint
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        size, stride = self.crop.image_size, STRIDE[self.networks.generator.name]
        if size % stride:
            raise ValueError(
                f"crop.image_size: {size} is not divisible by {stride}, the stride of networks.generator.name = "
                f"{self.networks.generator.name}"
            )
        if self.crop.center_crop is not None and self.crop.center_crop < size:
            raise ValueError(
                f"crop.center_crop: {self.crop.center_crop} px would be enlarged to crop.image_size = {size}"
            )
        return self

    @model_validator(mode="after")
    def _masks_fit(self) -> Self:
        size, discriminator = self.crop.image_size, self.networks.discriminator
        window = discriminator.local_window if isinstance(discriminator, GlobalLocalParams) else None
        if window is not None and window > size:
            raise ValueError(
                f"networks.discriminator.local_window: {window} px is larger than crop.image_size = {size}"
            )
        several = isinstance(self.masks, list)
        for k, masks in enumerate(kinds_of(self.masks)):
            section = f"masks.{k}" if several else "masks"
            if isinstance(masks, BoxMasks):
                name, largest, margin = f"{section}.size_range", masks.size_range[1], masks.margin
            elif isinstance(masks, BorderMasks):
                name, largest, margin = f"{section}.size_range", masks.size_range[1], 0
            elif isinstance(masks, CenterMask):
                name, largest, margin = f"{section}.size", masks.size, 0
            else:
                continue  # a half, strokes and masks from files may exceed the local window
            if largest >= size:
                raise ValueError(
                    f"{name}: a hole of {largest} px leaves nothing of an image of crop.image_size = {size}"
                )
            if largest + 2 * margin > size:
                raise ValueError(
                    f"{name} and {section}.margin: a hole of {largest} px with a margin of {margin} px does not fit "
                    f"crop.image_size = {size}"
                )
            if window is not None and largest > window and not several:  # a list is where larger holes are wanted
                raise ValueError(
                    f"{name}: a hole of {largest} px is larger than networks.discriminator.local_window = {window}"
                )
        return self

    @model_validator(mode="after")
    def _discriminator_has_gradients(self) -> Self:
        """Refuse bfloat16 convolutions with stride 2 whose input is a single pixel (global and local discriminator).

        oneDNN 3.13 (brgconv_bwd_w, AVX-512) leaves part of their weight gradient uninitialized, so the network would
        be trained with arbitrary values, occasionally NaN.
        """
        judge, sections = self.networks.discriminator, ("pretrain_discriminators", "train_joint")
        if isinstance(judge, PatchGANParams) or all(getattr(self, name).precision == "32-true" for name in sections):
            return self
        for branch, seen, side in (
            ("global", "crop.image_size", self.crop.image_size),
            ("local", "networks.discriminator.local_window", judge.local_window),
        ):
            most = (side - 1).bit_length()  # each layer halves the side, rounded up
            if getattr(judge, f"{branch}_layers") > most:
                raise ValueError(
                    f"networks.discriminator.{branch}_layers: with {seen} = {side}, the input of the last layer is a "
                    f"single pixel, whose gradient is wrong in precision bf16-mixed; use at most {most} layers, or "
                    "precision: 32-true"
                )
        return self

    @model_validator(mode="after")
    def _instances_have_statistics(self) -> Self:
        """Refuse instance norm of a single pixel, which is always 0 (global and local discriminator)."""
        judge = self.networks.discriminator
        if isinstance(judge, PatchGANParams) or judge.norm != "instance":
            return self
        for branch, seen, side in (
            ("global", "crop.image_size", self.crop.image_size),
            ("local", "networks.discriminator.local_window", judge.local_window),
        ):
            most = (side - 1).bit_length() - 1  # each layer halves the side, rounded up
            if getattr(judge, f"{branch}_layers") > most:
                raise ValueError(
                    f"networks.discriminator.{branch}_layers: with {seen} = {side}, the last layer's output is one "
                    f"pixel, which instance norm would make 0; use at most {most} layers, or norm: none"
                )
        return self

    @model_validator(mode="after")
    def _output_fits_range(self) -> Self:
        generator = self.networks.generator
        output = generator.output_activation if isinstance(generator, GlcicParams) else "tanh"
        wanted = {"sigmoid": [0, 1], "tanh": [-1, 1]}.get(output)
        if wanted is not None and wanted != self.input.pixel_range:
            raise ValueError(
                f"input.pixel_range: the generator ends in {output}, but losses and discriminators expect values in "
                f"{self.input.pixel_range}; set input.pixel_range: {wanted}, or change networks.generator"
            )
        return self

    @model_validator(mode="after")
    def _region_exists(self) -> Self:
        for name in ("pretrain_generator", "train_joint"):
            if getattr(self, name).reconstruction.region == "dilated" and self.input.mask_dilation == 0:
                raise ValueError(
                    f"{name}.reconstruction.region: dilated is the same as hole unless input.mask_dilation is above 0"
                )
        return self

    @model_validator(mode="after")
    def _batches_can_be_split(self) -> Self:
        for name in ("pretrain_generator", "pretrain_discriminators", "train_joint"):
            training: Training = getattr(self, name)
            if training.steps == 0:
                continue
            parts = self.runtime.devices * training.grad_accum_steps
            if training.batch_size % parts:
                raise ValueError(
                    f"{name}.batch_size: {training.batch_size} is not divisible by runtime.devices = "
                    f"{self.runtime.devices} times {name}.grad_accum_steps = {training.grad_accum_steps}"
                )
            if training.batch_size // parts < 2:
                raise ValueError(
                    f"{name}.batch_size: batch norm needs at least 2 images for each of runtime.devices and "
                    f"{name}.grad_accum_steps"
                )
            if self.download.source == "synthetic" and training.batch_size > self.download.synthetic.train:
                raise ValueError(
                    f"{name}.batch_size: {training.batch_size} is more than the {self.download.synthetic.train} images "
                    "of download.synthetic.train"
                )
        return self

    @model_validator(mode="after")
    def _phases_make_sense(self) -> Self:
        compiled = self.runtime.compile and self.runtime.accelerator != "cpu"  # the networks, only on a GPU
        if self.gan.r1_gamma > 0 and compiled:
            raise ValueError(
                "gan.r1_gamma: needs gradients of gradients, which runtime.compile does not give on a GPU; set "
                "runtime.compile: false, or runtime.accelerator: cpu"
            )
        if self.gan.r1_gamma > 0 and self.networks.discriminator.norm == "batch":
            raise ValueError(
                "gan.r1_gamma: penalizes the gradient at each image, but batch norm mixes the images of a batch; set "
                "networks.discriminator.norm: none (or instance)"
            )
        if self.train_joint.adaptive_ratio is not None and compiled:
            raise ValueError(
                "train_joint.adaptive_ratio: needs graphs to be kept, which runtime.compile does not do on a GPU; set "
                "runtime.compile: false, or runtime.accelerator: cpu"
            )
        if self.train_joint.steps == 0:
            raise ValueError("train_joint.steps: 0, but its network is what the pipeline delivers; give it 1 or more")
        return self


def load(path: Path) -> Params:
    """Read and validate the whole parameter file.

    Raises:
        UserError: the file is missing or not valid YAML, or a value is unknown, missing or out of range. The message
            names the file and every faulty field.
    """
    return validate(read_yaml(path, "run from the project's root, where params.yaml is"), path)


def load_report(path: Path) -> Params:
    """Read and validate a report's parameter file; its sections runtime and tracking are replaced by the plainest.

    They are of the machine that made the report, and a report made before one of their parameters existed lacks it.

    Raises:
        UserError: as `load`.
    """
    tree = read_yaml(path, "every kept report has one")
    if isinstance(tree, dict):
        tree |= PLAINEST
        if isinstance(alone := tree.get("pretrain_generator"), dict):
            alone.setdefault("init", None)  # older reports lack it
    return validate(tree, path)


def read_yaml(path: Path, missing: str, yaml: YAML | None = None) -> Any:
    """Read a YAML 1.2 file as a tree, the way DVC does: 1e-3 is a number.

    Args:
        missing: advice for the error message if the file does not exist.
        yaml: reader to use instead of the default one.

    Raises:
        UserError: the file does not exist or is not valid YAML.
    """
    try:
        return (yaml or YAML(typ="safe")).load(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {missing}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def validate(tree: Any, path: Path) -> Params:
    """Validate a parsed parameter tree. Error messages name `path`.

    Raises:
        UserError: a value is unknown, missing or out of range, or a name is of version 0.1.
    """
    refuse_old_names(tree, path)
    return validate_as(Params, tree, path, "presets/default.yaml has every parameter")


def validate_as(model: type[S], tree: Any, path: Path, missing: str) -> S:
    """Validate a parsed tree as any section. Error messages name `path`.

    Args:
        missing: advice for the error message if a field is missing.

    Raises:
        UserError: a value is unknown, missing or out of range.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(dict.fromkeys(_describe(fault, missing) for fault in error.errors()))
        raise UserError(f"{path}: {faults}") from None


def _describe(fault: Any, missing: str) -> str:
    parts = [part for part in fault["loc"] if not str(part).startswith(("literal[", "constrained-"))]  # added by unions
    if parts[:2] in (["masks", "one"], ["masks", "several"]):
        del parts[1]  # masks.one.box.size_range, masks.several.0.box.size_range
    tagged = [i for i, part in enumerate(parts) if part in CHOICES and i + 1 < len(parts)]
    if tagged == [0] and isinstance(parts[1], int):
        tagged = [1] if len(parts) > 3 else []
    field = ".".join(str(part) for i, part in enumerate(parts) if i - 1 not in tagged)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{field}: there is no such parameter; correct its name or remove it"
    old = fault["input"].get("name") if isinstance(fault["input"], dict) else fault["input"]
    for name in (field, f"{field}.name"):
        if isinstance(old, str) and old in VALUES.get(name, {}):
            return f"{name}: {old} has been called {VALUES[name][old]} since version 0.2; rename it"
    if fault["type"] == "missing":
        if parts[-1] == "sha256":
            return f"{field}: is missing; write sha256: {'0' * 64}, and the next message says what it is"
        return f"{field}: is missing; {missing}"
    if fault["type"] in ("model_type", "model_attributes_type"):
        return f"{field}: must be a section with parameters of its own, not {fault['input']!r}"
    if fault["type"] == "union_tag_invalid":
        return f"{field}.name: there is no {fault['ctx']['tag']!r}; it is one of {fault['ctx']['expected_tags']}"
    if fault["type"] == "union_tag_not_found":
        return f"{field}.name: is missing; {missing}"
    if fault["type"] == "value_error":
        return f"{field}: {message}" if field else message
    return f"{field or 'the file'}: {message[0].lower()}{message[1:]}, not {fault['input']!r}"


def leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Iterate over the values of nested mappings, each with the tuple of its keys.

    Args:
        above: keys that precede those of `tree`.
    """
    for key, value in tree.items():
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            value = {str(k): item for k, item in enumerate(value)}  # masks.0.size_range
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def listed(tree: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The values of a parameter tree by dotted names of sections or parameters; None where one is missing."""
    found = {}
    for name in names:
        value: Any = tree
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[name] = value
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Dotted names of the parameters that differ between two trees, each with both values."""
    old, new = ({".".join(keys): value for keys, value in leaves(tree)} for tree in (before, now))
    return [
        f"{name} ({old.get(name, 'absent')} → {new.get(name, 'absent')})"
        for name in dict.fromkeys([*old, *new])
        if old.get(name, _MISSING) != new.get(name, _MISSING)
    ]


def some(found: Sequence[str]) -> str:
    """The first few differences, for a message."""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def refuse_models_of_others(models: Path, tree: Mapping[str, Any]) -> None:
    """Refuse models that were trained with other parameters than these, by what each training has written down.

    DVC cannot tell: it records the parameters that it finds when a stage ends or comes from its cache.

    Args:
        models: folder of a training stage's models, or the folder of all of these.
        tree: the whole parameter file as plain data.

    Raises:
        UserError: a stage was trained with other parameters.
    """
    for path in sorted(models.rglob("params.json")):
        trained: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        trained.pop("code", None)
        if found := differences(trained, listed(tree, trained)):
            raise UserError(
                f"{path.parent}: trained with other parameters than the present ones: {some(found)}; run `dvc repro`, "
                f"or, if that finds nothing to do, `dvc repro --force --single-item {path.parent.name}` first"
            )


def plain(params: Params, dotted: str) -> Any:
    """A section or parameter as plain data, by its dotted name in dvc.yaml."""
    value: Any = params
    for part in dotted.split("."):
        value = getattr(value, part)
    if isinstance(value, list):
        return [item.model_dump(mode="json") if hasattr(item, "model_dump") else item for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def handed(params: Params, names: Iterable[str]) -> Params:
    """Restrict the parameters to those that dvc.yaml lists for a stage, plus runtime and tracking.

    Access to any other parameter raises AttributeError, because it could change the result unnoticed by DVC.

    Args:
        names: dotted names of sections or parameters, as in dvc.yaml.
    """
    return _only(params, [name.split(".") for name in ("runtime", "tracking", *names)])


def _only(section: S, paths: list[list[str]]) -> S:
    wanted = dict.fromkeys(path[0] for path in paths)
    values = {}
    for name in wanted:
        deeper = [path[1:] for path in paths if path[0] == name]
        value = getattr(section, name)
        values[name] = value if [] in deeper else _only(value, deeper)
    return section.model_construct(**values)
