"""Scores that others published for this method, and how their evaluation differs from ours."""

from dataclasses import dataclass

from glcic.params import GlcicParams, Params, Training

MASK_SET = "box"  # MMagic's protocol, scaled


@dataclass(frozen=True)
class Published:
    """A row of a published table.

    Attributes:
        system: name of the system.
        data: data it was evaluated on.
        url: where the table is published.
        scores: scores by our names of the same metrics.
        size: side of the images, in pixels.
        steps, batch_size: of the training, according to the table and its configuration.
        size_range: smallest and largest side of the masks, in pixels.
        margin: smallest distance of the masks from the edge of the image, in pixels.
    """

    system: str
    data: str
    url: str
    scores: dict[str, float]
    size: int
    steps: int
    batch_size: int
    size_range: tuple[int, int]
    margin: int


# Our names of the metrics → columns of MMagic's table.
MMAGIC_COLUMNS = {"l1_hole": "l1 error", "psnr": "PSNR", "ssim": "SSIM"}
DIGITS = 3
MMAGIC = Published(
    "MMagic, Global&Local",
    "CelebA-HQ, val",
    "https://github.com/open-mmlab/mmagic/tree/main/configs/global_local",
    {"l1_hole": 6.678, "psnr": 26.780, "ssim": 0.904},
    size=256,
    steps=500_000,
    batch_size=96,
    size_range=(108, 128),
    margin=20,
)
SAME = (
    "The metrics are defined in the same way: mean absolute error over the hole's pixels of images in [0, 1], × 100; "
    "PSNR and SSIM (Gaussian window 11×11, σ 1.5, per channel, data range 255) of the whole composite; means over "
    "images; no post-processing."
)

Difference = tuple[str, str, str]  # what differs, here, there

SOURCES = {
    "synthetic": "synthetic faces drawn by a program",
    "celeba": "aligned CelebA",
    "image_folder": "the user's own images",
}


def what_differs(params: Params, images: int | None, people: int | None) -> list[Difference]:
    """List all differences that make our scores on the mask set `box` and the published ones incomparable.

    Args:
        params: parameters of our scores.
        images: number of test images, if known.
        people: number of people on these images, if known.
    """
    size = params.crop.image_size
    part = "a part of the " if params.download.source == "celeba" and params.download.celeba.allow_subset else ""
    data = f"{SOURCES[params.download.source]}, {part}test split"
    if images is not None:
        data += f": {images:,} images" + ("" if people is None else f" of {people:,} people")
    found = [("data", data, f"{MMAGIC.data}; number of images not stated")]
    if size != MMAGIC.size:
        smallest, largest = -(-MMAGIC.size_range[0] * size // MMAGIC.size), MMAGIC.size_range[1] * size // MMAGIC.size
        margin = -(-MMAGIC.margin * size // MMAGIC.size)
        found += [
            ("size", f"{size} × {size} pixels", f"{MMAGIC.size} × {MMAGIC.size} pixels"),
            (
                "size of the masks",
                f"{smallest} to {largest} pixels, at least {margin} from the edge: the same share of the image",
                f"{MMAGIC.size_range[0]} to {MMAGIC.size_range[1]} pixels, at least {MMAGIC.margin} from the edge",
            ),
        ]
    found += [
        (
            "positions of the masks",
            f"drawn once from seed {params.evaluate.mask_seed}, and stored",
            "drawn again in each evaluation",
        ),
        ("training", _training(params), f"{MMAGIC.steps:,} steps of {MMAGIC.batch_size} images"),
    ]
    if (network := _network(params)) is not None:
        found.append(("network", network, "the paper's, full width"))
    return found


def _training(params: Params) -> str:
    def images(section: Training) -> str:
        return f"{section.steps:,} steps of {section.batch_size} images"

    alone, joint = params.pretrain_generator, params.train_joint
    before = f"{images(alone)} alone, then " if alone.steps else ""
    start = "from the weights of another training: " if alone.init is not None else ""
    return f"{start}{before}{images(joint)} with the discriminators"


def _network(params: Params) -> str | None:
    network = params.networks.generator
    if not isinstance(network, GlcicParams):
        return f"U-Net with self-attention, {network.channels} channels"
    return None if network.width_multiplier == 1 else f"the paper's, {network.width_multiplier:g} times its width"
