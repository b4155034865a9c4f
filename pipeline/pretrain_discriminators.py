"""Stage 4: train the discriminators alone, against the frozen completion network."""

from glcic import paths
from glcic.networks import discriminators, generators
from glcic.networks.weights import with_weights
from glcic.params import Params
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase
from pipeline import stage, training_stage


def main(params: Params) -> None:
    """Write models/pretrain_discriminators and its curve."""
    section, networks = params.pretrain_discriminators, params.networks
    with training_stage.opened("pretrain_discriminators", params, section, after=["pretrain_generator"]) as opened:
        completion = with_weights(generators.completion_network(networks.completion, params.input), paths.PRETRAINED)
        discriminator = discriminators.discriminator(networks.discriminator, params.crop.size)
        phase = PretrainDiscriminatorsPhase(
            opened.fabric,
            completion,
            discriminator,
            section,
            params.adversarial,
            params.input,
            opened.faces.mean_pixel,
            params.runtime.compile,
        )
        opened.train(phase, local_window=discriminator.local_window or params.crop.size, score=None)


if __name__ == "__main__":
    stage.run("pretrain_discriminators", main)
