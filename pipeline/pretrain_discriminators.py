"""Stage 4: train the discriminators alone, against the frozen generator."""

from glcic import paths
from glcic.networks.discriminators import build_discriminator
from glcic.networks.generators import build_generator
from glcic.networks.weights import with_weights
from glcic.params import Params
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase
from pipeline import stage, training_stage


def main(params: Params) -> None:
    """Write models/pretrain_discriminators and its curve."""
    section, networks = params.pretrain_discriminators, params.networks
    with training_stage.opened("pretrain_discriminators", params, section, after=["pretrain_generator"]) as opened:
        generator = with_weights(build_generator(networks.generator, params.input), paths.PRETRAINED)
        discriminator = build_discriminator(networks.discriminator, params.crop.image_size)
        phase = PretrainDiscriminatorsPhase(
            opened.fabric,
            generator,
            discriminator,
            section,
            params.gan,
            params.input,
            opened.images.mean_pixel,
            params.runtime.compile,
        )
        opened.train(phase, local_window=discriminator.local_window or params.crop.image_size, score=None)


if __name__ == "__main__":
    stage.run("pretrain_discriminators", main)
