"""What others have published of this method, and what has to be said before it stands beside our scores."""

from dataclasses import dataclass

from glcic.params import Glcic, Params, Training

MASK_SET = "box"  # MMagic's protocol, scaled


@dataclass(frozen=True)
class Published:
    """A row of somebody's table.

    Attributes:
        scores: by our names of the same definitions.
        size: side of the images, pixels.
        steps, batch: of the training, by the table and its configuration.
        sides, border: of the holes, pixels: smallest and largest side, and the least distance from the image's edge.
    """

    system: str
    data: str
    url: str
    scores: dict[str, float]
    size: int
    steps: int
    batch: int
    sides: tuple[int, int]
    border: int


# Columns of the table, and what they are called here.
MMAGIC_COLUMNS = {"l1_hole": "l1 error", "psnr": "PSNR", "ssim": "SSIM"}
DIGITS = 3
MMAGIC = Published(
    "MMagic, Global&Local",
    "CelebA-HQ, val",
    "https://github.com/open-mmlab/mmagic/tree/main/configs/global_local",
    {"l1_hole": 6.678, "psnr": 26.780, "ssim": 0.904},
    size=256,
    steps=500_000,
    batch=96,
    sides=(108, 128),
    border=20,
)
SAME = (
    "The columns are defined alike: mean absolute error over the hole's pixels of images in [0, 1], × 100; PSNR and "
    "SSIM (Gaussian window 11×11, σ 1.5, per channel, data range 255) of the whole composite; means over images; no "
    "post-processing."
)

Difference = tuple[str, str, str]  # what differs, here, there

SOURCES = {"synthetic": "synthetic faces, drawn by a program", "celeba": "aligned CelebA", "images": "own images"}


def what_differs(params: Params, images: int | None, people: int | None) -> list[Difference]:
    """Everything by which our scores on the mask set `box` cannot be compared with the published ones, in words.

    Args:
        params: that the scores were made with.
        images: of the test split, if that is known.
        people: who are on them, if that is known.
    """
    size = params.crop.size
    part = "a part of the " if params.download.source == "celeba" and params.download.celeba.partial else ""
    data = f"{SOURCES[params.download.source]}, {part}test split"
    if images is not None:
        data += f": {images:,} images" + ("" if people is None else f" of {people:,} people")
    found = [("data", data, f"{MMAGIC.data}; how many is not said")]
    if size != MMAGIC.size:
        smallest, largest = -(-MMAGIC.sides[0] * size // MMAGIC.size), MMAGIC.sides[1] * size // MMAGIC.size
        border = -(-MMAGIC.border * size // MMAGIC.size)
        found += [
            ("size", f"{size} × {size} pixels", f"{MMAGIC.size} × {MMAGIC.size} pixels"),
            (
                "sides of the holes",
                f"{smallest} to {largest} pixels, {border} from the edge: the same share of the image",
                f"{MMAGIC.sides[0]} to {MMAGIC.sides[1]} pixels, {MMAGIC.border} from the edge",
            ),
        ]
    found += [
        (
            "where the holes are",
            f"drawn once, from seed {params.evaluate.mask_seed}, and stored",
            "drawn anew by each evaluation",
        ),
        ("training", _training(params), f"{MMAGIC.steps:,} steps of {MMAGIC.batch} images"),
    ]
    if (network := _network(params)) is not None:
        found.append(("network", network, "the paper's, full width"))
    return found


def _training(params: Params) -> str:
    def images(section: Training) -> str:
        return f"{section.steps:,} steps of {section.batch} images"

    alone, joint = params.pretrain_generator, params.train_joint
    before = f"{images(alone)} alone, then " if alone.steps else ""
    return f"{before}{images(joint)} with the discriminators"


def _network(params: Params) -> str | None:
    network = params.networks.completion
    if not isinstance(network, Glcic):
        return f"U-Net with self-attention, {network.channels} channels"
    return None if network.width == 1 else f"the paper's, {network.width:g} of its width"
