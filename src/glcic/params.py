"""Every parameter of the pipeline as a typed, validated model: one class per section of params.yaml."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from glcic.errors import UserError

STRIDE = {"glcic": 4, "unet_attention": 8}  # completion networks halve the side two or three times

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
S = TypeVar("S", bound="Section")
T = TypeVar("T")

# Sections whose `name` decides which other parameters they have.
CHOICES = ("completion", "discriminator", "holes", "optimiser", "generator_optimiser", "discriminator_optimiser")


class Section(BaseModel):
    """A section refuses unknown keys and silent conversions, and never changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Runtime(Section):
    """Where and how to compute: may change rounding, never the method. No stage lists it."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Count
    threads: Count
    workers: Annotated[int, Field(ge=0)]
    compile: bool
    celeba: str | None
    images: str | None


class Tracking(Section):
    """MLflow. No stage lists it."""

    enabled: bool
    experiment: Annotated[str, Field(min_length=1)]


class Synthetic(Section):
    train: Count
    val: Count
    test: Count


class CelebA(Section):
    partial: bool
    zip_md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None
    mirrors: list[str]

    @model_validator(mode="after")
    def _partial_needs_md5(self) -> Self:
        if self.partial and self.zip_md5 is None:
            raise ValueError("partial: true needs zip_md5, the MD5 of the partial zip")
        return self


class OwnImages(Section):
    ratios: Annotated[list[Share], Field(min_length=3, max_length=3)]
    partition: str | None
    zip_md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None

    @model_validator(mode="after")
    def _ratios_sum_to_one(self) -> Self:
        if not math.isclose(sum(self.ratios), 1, abs_tol=1e-6):
            raise ValueError(f"ratios must sum to 1, not {sum(self.ratios):g}")
        return self


class Download(Section):
    source: Literal["synthetic", "celeba", "images"]
    synthetic: Synthetic
    celeba: CelebA
    images: OwnImages


class Crop(Section):
    size: Annotated[int, Field(ge=16, le=1024, multiple_of=4)]
    square: Annotated[int, Field(ge=16)] | None
    max_refused: Share


Normalisation = Literal["none", "batch", "instance"]
Activation = Literal["relu", "leaky_relu"]
Convolution = Literal["plain", "gated"]
Output = Literal["sigmoid", "tanh", "clamp"]
Labels = Literal["fused", "per_branch"]


class Glcic(Section):
    """The paper's completion network and its variants."""

    name: Literal["glcic"]
    width: Rate
    normalisation: Normalisation
    activation: Activation
    convolution: Convolution
    output: Output


class UNetParams(Section):
    """The U-Net with self-attention; its output is tanh."""

    name: Literal["unet_attention"]
    channels: Annotated[int, Field(ge=8, multiple_of=8)]


class Context(Section):
    """The paper's global and local discriminator and its variants."""

    name: Literal["context"]
    width: Rate
    local_window: Annotated[int, Field(ge=8)]
    global_convolutions: Annotated[int, Field(ge=1, le=6)]
    local_convolutions: Annotated[int, Field(ge=1, le=6)]
    activation: Activation
    labels: Labels
    spectral_norm: bool
    mask_channel: bool


class PatchGAN(Section):
    name: Literal["patchgan"]
    channels: Count
    spectral_norm: bool
    mask_channel: bool

    @model_validator(mode="before")
    @classmethod
    def _no_window(cls, values: Any) -> Any:
        if isinstance(values, dict) and "local_window" in values:
            raise ValueError("local_window: patchgan judges every patch of the whole image; remove it")
        return values


class Networks(Section):
    completion: Annotated[Glcic | UNetParams, Field(discriminator="name")]
    discriminator: Annotated[Context | PatchGAN, Field(discriminator="name")]


Fill = Literal["mean", "mid_grey", "surroundings"] | Share


class Input(Section):
    """How an image with a hole is put before the networks: range `unit` is [0, 1], `symmetric` is [-1, 1]."""

    range: Literal["unit", "symmetric"]
    fill: Fill
    context: Annotated[int, Field(ge=0)]


def _ordered(bounds: list[T]) -> list[T]:
    if bounds != sorted(bounds):  # type: ignore[type-var]  # they are numbers
        raise ValueError(f"must be [smallest, largest], not {bounds}")
    return bounds


Two = Field(min_length=2, max_length=2)
Bounds = Annotated[list[T], Two, AfterValidator(_ordered)]


class BoxHoles(Section):
    """Rectangles of random sides at random places."""

    name: Literal["box"]
    sides: Bounds[Count]
    border: Annotated[int, Field(ge=0)]
    number: Bounds[Count]


class CenterHole(Section):
    """A square in the middle."""

    name: Literal["center"]
    side: Count


class StrokeHoles(Section):
    """Free-form brush strokes that cover a share of the image."""

    name: Literal["strokes"]
    ratio: Bounds[Annotated[float, Field(gt=0, lt=1)]]


class MaskFiles(Section):
    """A folder of masks, white where the hole is."""

    folder: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FileHoles(MaskFiles):
    """Masks from image files."""

    name: Literal["files"]


Holes = BoxHoles | CenterHole | StrokeHoles | FileHoles


class Augmentation(Section):
    flip: Share
    crop: Bounds[Annotated[float, Field(gt=0, le=1)]]
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]


Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Two]


class Adam(Section):
    name: Literal["adam"]
    learning_rate: Rate
    betas: Betas


class AdamW(Section):
    name: Literal["adamw"]
    learning_rate: Rate
    betas: Betas
    weight_decay: Annotated[float, Field(ge=0)]


class Adadelta(Section):
    name: Literal["adadelta"]
    learning_rate: Rate
    rho: Annotated[float, Field(gt=0, lt=1)]


Optimiser = Annotated[Adam | AdamW | Adadelta, Field(discriminator="name")]
Schedule = Literal["constant", "linear", "cosine"]


class Training(Section):
    """What the three training stages have in common."""

    steps: Annotated[int, Field(ge=0)]
    batch: Count
    accumulate: Count
    clip: Rate | None
    precision: Literal["32-true", "bf16-mixed"]
    schedule: Schedule
    validate_every: Count
    checkpoint_every: Count


class Reconstruction(Section):
    """The generator's losses that compare the output with the ground truth."""

    error: Literal["mse", "l1"]
    region: Literal["hole", "dilated", "whole"]
    weight: Annotated[float, Field(ge=0)]
    edges: Annotated[float, Field(ge=0)]
    ssim: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.weight == self.edges == self.ssim == 0:
            raise ValueError("weight, edges and ssim are all 0: nothing would be learnt")
        return self


Ema = Annotated[float, Field(gt=0, lt=1)] | None


class PretrainGenerator(Training):
    reconstruction: Reconstruction
    ema: Ema
    optimiser: Optimiser


class PretrainDiscriminators(Training):
    optimiser: Optimiser


AdversarialLoss = Literal["bce", "hinge", "least_squares"]


class Adversarial(Section):
    """How discriminators are trained, alone and jointly."""

    loss: AdversarialLoss
    real_label: Annotated[float, Field(gt=0.5, le=1)]
    r1: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _label_has_a_meaning(self) -> Self:
        if self.loss == "hinge" and self.real_label != 1:
            raise ValueError(f"real_label: hinge has no label to smooth; set it to 1.0, not {self.real_label}")
        return self


class AdversarialWeight(Section):
    """α: fixed, or from the gradients' norms."""

    weight: Annotated[float, Field(ge=0)] | None
    balance: Rate | None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.weight is None) == (self.balance is None):
            raise ValueError("weight and balance: give one of them, and null for the other")
        return self


class TrainJoint(Training):
    reconstruction: Reconstruction
    adversarial: AdversarialWeight
    ema: Ema
    skip_above: Annotated[float, Field(ge=0.5, le=1)] | None  # below chance an untrained discriminator would stay so
    generator_optimiser: Optimiser
    discriminator_optimiser: Optimiser


class Validation(Section):
    images: Count


Strokes = Literal["strokes_1_10", "strokes_10_20", "strokes_20_30", "strokes_30_40", "strokes_40_50", "strokes_50_60"]
MaskSet = Literal["center", "box", "fixed", Strokes, "border", "half", "files"]
Extra = Literal["edgeconnect", "lpips", "fid", "kid"]


def _distinct(names: list[T]) -> list[T]:
    if len(set(names)) < len(names):
        raise ValueError(f"names one twice: {names}")
    return names


class Evaluate(Section):
    mask_sets: Annotated[list[MaskSet], Field(min_length=1), AfterValidator(_distinct)]
    mask_seed: Seed
    masks: MaskFiles | None
    extra: Annotated[list[Extra], AfterValidator(_distinct)]
    batch: Count
    figure_rows: Count
    gallery: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _files_are_named(self) -> Self:
        if ("files" in self.mask_sets) != (self.masks is not None):
            raise ValueError(
                "masks: the folder and sha256 of the mask set files; give both masks and files in mask_sets, or neither"
            )
        return self


class Report(Section):
    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]


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
    holes: Annotated[Holes, Field(discriminator="name")]
    augmentation: Augmentation
    adversarial: Adversarial
    validation: Validation
    pretrain_generator: PretrainGenerator
    pretrain_discriminators: PretrainDiscriminators
    train_joint: TrainJoint
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        size, stride = self.crop.size, STRIDE[self.networks.completion.name]
        if size % stride:
            raise ValueError(
                f"crop.size: {size} is not divisible by {stride}, the stride of networks.completion.name = "
                f"{self.networks.completion.name}"
            )
        if self.crop.square is not None and self.crop.square < size:
            raise ValueError(f"crop.square: {self.crop.square} px would be enlarged to crop.size = {size}")
        return self

    @model_validator(mode="after")
    def _holes_fit(self) -> Self:
        size, holes, discriminator = self.crop.size, self.holes, self.networks.discriminator
        if isinstance(discriminator, Context) and discriminator.local_window > size:
            raise ValueError(
                f"networks.discriminator.local_window: {discriminator.local_window} px is larger than "
                f"crop.size = {size}"
            )
        if isinstance(holes, BoxHoles):
            name, largest, border = "holes.sides", holes.sides[1], holes.border
        elif isinstance(holes, CenterHole):
            name, largest, border = "holes.side", holes.side, 0
        else:
            return self  # strokes and files may be of any extent
        if largest >= size:
            raise ValueError(f"{name}: a hole of {largest} px leaves nothing of an image of crop.size = {size}")
        if largest + 2 * border > size:
            raise ValueError(
                f"{name} and holes.border: a hole of {largest} px with a border of {border} px does not fit "
                f"crop.size = {size}"
            )
        if isinstance(discriminator, Context) and largest > discriminator.local_window:
            raise ValueError(
                f"{name}: a hole of {largest} px is larger than networks.discriminator.local_window = "
                f"{discriminator.local_window}"
            )
        return self

    @model_validator(mode="after")
    def _discriminator_has_gradients(self) -> Self:
        """No bfloat16 convolution of the context discriminator, whose stride is 2, is given a single pixel.

        There oneDNN 3.13 (brgconv_bwd_w, AVX-512) leaves part of the weight's gradient unwritten: whatever lay in that
        memory trains the network, now and then NaN.
        """
        judge, sections = self.networks.discriminator, ("pretrain_discriminators", "train_joint")
        if isinstance(judge, PatchGAN) or all(getattr(self, name).precision == "32-true" for name in sections):
            return self
        for branch, seen, side in (
            ("global", "crop.size", self.crop.size),
            ("local", "networks.discriminator.local_window", judge.local_window),
        ):
            most = (side - 1).bit_length()  # each halves the side, rounded up
            if getattr(judge, f"{branch}_convolutions") > most:
                raise ValueError(
                    f"networks.discriminator.{branch}_convolutions: the last is given a single pixel of {seen} = "
                    f"{side}, which has a wrong gradient in precision bf16-mixed; at most {most}, or precision: 32-true"
                )
        return self

    @model_validator(mode="after")
    def _output_fits_range(self) -> Self:
        completion = self.networks.completion
        output = completion.output if isinstance(completion, Glcic) else "tanh"
        wanted = {"sigmoid": "unit", "tanh": "symmetric"}.get(output)
        if wanted is not None and wanted != self.input.range:
            raise ValueError(
                f"input.range: the completion network ends in {output}, but losses and discriminators would take its "
                f"values for {self.input.range}; set input.range: {wanted}, or change networks.completion"
            )
        return self

    @model_validator(mode="after")
    def _region_exists(self) -> Self:
        for name in ("pretrain_generator", "train_joint"):
            if getattr(self, name).reconstruction.region == "dilated" and self.input.context == 0:
                raise ValueError(f"{name}.reconstruction.region: dilated is the hole unless input.context is above 0")
        return self

    @model_validator(mode="after")
    def _batches_can_be_split(self) -> Self:
        for name in ("pretrain_generator", "pretrain_discriminators", "train_joint"):
            training: Training = getattr(self, name)
            if training.steps == 0:
                continue
            parts = self.runtime.devices * training.accumulate
            if training.batch % parts:
                raise ValueError(
                    f"{name}.batch: {training.batch} is not divisible by runtime.devices = {self.runtime.devices} "
                    f"times {name}.accumulate = {training.accumulate}"
                )
            if training.batch // parts < 2:
                raise ValueError(
                    f"{name}.batch: batch norm needs at least 2 images for each of runtime.devices and "
                    f"{name}.accumulate"
                )
            if self.download.source == "synthetic" and training.batch > self.download.synthetic.train:
                raise ValueError(
                    f"{name}.batch: {training.batch} is more than the {self.download.synthetic.train} images of "
                    "download.synthetic.train"
                )
        return self

    @model_validator(mode="after")
    def _phases_make_sense(self) -> Self:
        if self.adversarial.r1 > 0 and self.runtime.compile:
            raise ValueError("adversarial.r1: needs gradients of gradients, which runtime.compile does not give")
        if self.adversarial.r1 > 0 and self.runtime.devices > 1 and self.runtime.accelerator != "cpu":
            raise ValueError(
                "adversarial.r1: needs gradients of gradients, which batch norm synchronised among runtime.devices "
                "does not give; use one device"
            )
        if self.train_joint.adversarial.balance is not None and self.runtime.compile:
            raise ValueError(
                "train_joint.adversarial.balance: needs graphs to be kept, which runtime.compile does not do"
            )
        if self.train_joint.steps == 0:
            raise ValueError("train_joint.steps: 0, but its network is what the pipeline delivers; give it 1 or more")
        return self


def load(path: Path) -> Params:
    """Read and validate the whole parameter file.

    Raises:
        UserError: the file is missing, is no YAML, or a value is unknown, missing or out of range; the
            message names the file and every field at fault.
    """
    return validate(read_yaml(path, "run from the project's root, where params.yaml lies"), path)


def read_yaml(path: Path, missing: str, yaml: YAML | None = None) -> Any:
    """A YAML 1.2 file as a tree, as DVC reads it: 1e-3 is a number.

    Args:
        missing: what to do where there is no such file.
        yaml: another reader than the plain one.

    Raises:
        UserError: there is none, or it is no YAML.
    """
    try:
        return (yaml or YAML(typ="safe")).load(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {missing}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def validate(tree: Any, path: Path) -> Params:
    """Validate an already parsed parameter tree; `path` is named in the errors.

    Raises:
        UserError: as `load`.
    """
    return validate_as(Params, tree, path, "presets/default.yaml has every parameter")


def validate_as(model: type[S], tree: Any, path: Path, missing: str) -> S:
    """The same for another file than params.yaml.

    Args:
        missing: what to do about a field that is not there.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(_describe(fault, missing) for fault in error.errors())
        raise UserError(f"{path}: {faults}") from None


def _describe(fault: Any, missing: str) -> str:
    parts = [part for part in fault["loc"] if not str(part).startswith(("literal[", "constrained-"))]  # of a union
    tagged = [i for i, part in enumerate(parts) if part in CHOICES and i + 1 < len(parts)]
    field = ".".join(str(part) for i, part in enumerate(parts) if i - 1 not in tagged)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{field}: there is no such parameter; correct its name or remove it"
    if fault["type"] == "missing":
        return f"{field}: is missing; {missing}"
    if fault["type"] == "union_tag_invalid":
        return f"{field}.name: there is no {fault['ctx']['tag']!r}; it is one of {fault['ctx']['expected_tags']}"
    if fault["type"] == "union_tag_not_found":
        return f"{field}.name: is missing; {missing}"
    if fault["type"] == "value_error":
        return f"{field}: {message}" if field else message
    return f"{field or 'the file'}: {message[0].lower()}{message[1:]}, not {fault['input']!r}"


def leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of nested mappings, with its keys."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def handed(params: Params, names: Iterable[str]) -> Params:
    """The parameters as a stage gets them: only those that dvc.yaml lists for it, plus runtime and tracking.

    Touching any other raises AttributeError: it would change the result without DVC knowing.

    Args:
        names: of sections or of what is in them, with dots, as in dvc.yaml.
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
