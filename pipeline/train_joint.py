"""Stage 5: train generator and discriminators together."""

from glcic import paths
from glcic.networks.discriminators import build_discriminator
from glcic.networks.generators import build_generator
from glcic.networks.weights import with_weights
from glcic.params import Params
from glcic.phases.train_joint import TrainJointPhase
from pipeline import stage, training_stage


def main(params: Params) -> None:
    """Write models/train_joint, its curve and its sample grid."""
    section, networks, before = params.train_joint, params.networks, ["pretrain_generator", "pretrain_discriminators"]
    with training_stage.opened("train_joint", params, section, after=before) as opened:
        generator = with_weights(build_generator(networks.generator, params.input), paths.PRETRAINED)
        discriminator = build_discriminator(networks.discriminator, params.crop.image_size)
        phase = TrainJointPhase(
            opened.fabric,
            generator,
            with_weights(discriminator, paths.DISCRIMINATOR),
            section,
            params.gan,
            params.input,
            opened.images.mean_pixel,
            params.runtime.compile,
        )
        opened.train(phase, local_window=discriminator.local_window or params.crop.image_size)


if __name__ == "__main__":
    stage.run("train_joint", main)
