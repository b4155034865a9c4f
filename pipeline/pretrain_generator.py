"""Stage 3: train the generator alone."""

from glcic.networks.generators import build_generator
from glcic.networks.init import initialized
from glcic.params import Params
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from pipeline import stage, training_stage


def main(params: Params) -> None:
    """Write models/pretrain_generator, its curve and its sample grid."""
    section = params.pretrain_generator
    with training_stage.opened("pretrain_generator", params, section) as opened:
        generator = build_generator(params.networks.generator, params.input)
        generator = initialized(generator, section.init, params.networks.generator, params.input)
        phase = PretrainGeneratorPhase(
            opened.fabric, generator, section, params.input, opened.images.mean_pixel, params.runtime.compile
        )
        opened.train(phase, local_window=params.crop.image_size)  # unused in this phase


if __name__ == "__main__":
    stage.run("pretrain_generator", main)
