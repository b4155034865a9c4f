"""Every parameter of the pipeline as a typed, validated model: one class per section of params.yaml."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from glcic.errors import UserError

STRIDE = 4  # of the completion network, which halves the side twice: sides must be divisible by it

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
S = TypeVar("S", bound="Section")


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


class Images(Section):
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
    images: Images


class Crop(Section):
    size: Annotated[int, Field(ge=16, le=1024, multiple_of=STRIDE)]
    square: Annotated[int, Field(ge=16)] | None
    max_refused: Share


class CompletionParams(Section):
    width: Rate


class DiscriminatorParams(Section):
    width: Rate
    local_window: Annotated[int, Field(ge=8)]
    global_convolutions: Annotated[int, Field(ge=1, le=6)]
    local_convolutions: Annotated[int, Field(ge=1, le=6)]


class Networks(Section):
    completion: CompletionParams
    discriminator: DiscriminatorParams


class Holes(Section):
    sides: Annotated[list[Count], Field(min_length=2, max_length=2)]
    border: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sides[0] > self.sides[1]:
            raise ValueError(f"sides must be [smallest, largest], not {self.sides}")
        return self


class Augmentation(Section):
    flip: Share


class Adam(Section):
    name: Literal["adam"]
    learning_rate: Rate
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]


class Adadelta(Section):
    name: Literal["adadelta"]
    learning_rate: Rate
    rho: Annotated[float, Field(gt=0, lt=1)]


Optimiser = Annotated[Adam | Adadelta, Field(discriminator="name")]
Schedule = Literal["constant", "linear", "cosine"]
Reconstruction = Literal["mse", "l1"]


class Training(Section):
    """What the three training stages have in common."""

    steps: Count
    batch: Count
    precision: Literal["32-true", "bf16-mixed"]
    schedule: Schedule
    validate_every: Count
    checkpoint_every: Count


class PretrainGenerator(Training):
    reconstruction: Reconstruction
    optimiser: Optimiser


class PretrainDiscriminators(Training):
    optimiser: Optimiser


class Adversarial(Section):
    weight: Annotated[float, Field(ge=0)]


class TrainJoint(Training):
    reconstruction: Reconstruction
    adversarial: Adversarial
    generator_optimiser: Optimiser
    discriminator_optimiser: Optimiser


class Validation(Section):
    images: Count


MaskSet = Literal["center", "box"]


class Evaluate(Section):
    mask_sets: Annotated[list[MaskSet], Field(min_length=1)]
    batch: Count
    figure_rows: Count

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        if len(set(self.mask_sets)) < len(self.mask_sets):
            raise ValueError(f"mask_sets names a set twice: {self.mask_sets}")
        return self


class Params(Section):
    """The whole of params.yaml."""

    preset: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    runtime: Runtime
    tracking: Tracking
    download: Download
    crop: Crop
    networks: Networks
    holes: Holes
    augmentation: Augmentation
    validation: Validation
    pretrain_generator: PretrainGenerator
    pretrain_discriminators: PretrainDiscriminators
    train_joint: TrainJoint
    evaluate: Evaluate

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        size, window = self.crop.size, self.networks.discriminator.local_window
        largest, border = self.holes.sides[1], self.holes.border
        if largest + 2 * border > size:
            raise ValueError(
                f"holes.sides and holes.border: a hole of {largest} px with a border of {border} px does not fit "
                f"crop.size = {size}"
            )
        if largest > window:
            raise ValueError(
                f"holes.sides: a hole of {largest} px is larger than networks.discriminator.local_window = {window}"
            )
        if window > size:
            raise ValueError(f"networks.discriminator.local_window: {window} px is larger than crop.size = {size}")
        if self.crop.square is not None and self.crop.square < size:
            raise ValueError(f"crop.square: {self.crop.square} px would be enlarged to crop.size = {size}")
        for name in ("pretrain_generator", "pretrain_discriminators", "train_joint"):
            training: Training = getattr(self, name)
            if training.batch % self.runtime.devices:
                raise ValueError(
                    f"{name}.batch: {training.batch} is not divisible by runtime.devices = {self.runtime.devices}"
                )
            if training.batch // self.runtime.devices < 2:
                raise ValueError(f"{name}.batch: batch norm needs at least 2 images for each of runtime.devices")
            if self.download.source == "synthetic" and training.batch > self.download.synthetic.train:
                raise ValueError(
                    f"{name}.batch: {training.batch} is more than the {self.download.synthetic.train} images of "
                    "download.synthetic.train"
                )
        return self


def load(path: Path) -> Params:
    """Read and validate the whole parameter file.

    Raises:
        UserError: the file is missing, is no YAML, or a value is unknown, missing or out of range; the
            message names the file and every field at fault.
    """
    try:
        tree = YAML(typ="safe").load(path)  # YAML 1.2, as DVC reads it: 1e-3 is a number
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the project's root, where params.yaml lies") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    return validate(tree, path)


def validate(tree: Any, path: Path) -> Params:
    """Validate an already parsed parameter tree; `path` is named in the errors.

    Raises:
        UserError: as `load`.
    """
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(_describe(fault) for fault in error.errors())
        raise UserError(f"{path}: {faults}") from None


def _describe(fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"] if part not in ("adam", "adadelta"))
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{field}: there is no such parameter; correct its name or remove it"
    if fault["type"] == "missing":
        return f"{field}: is missing; presets/default.yaml has every parameter"
    if fault["type"] == "value_error":
        return f"{field}: {message}" if field else message
    return f"{field or 'the file'}: {message[0].lower()}{message[1:]}, not {fault['input']!r}"


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
