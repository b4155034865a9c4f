"""Stage 3: train the completion network alone."""

from glcic.networks.generators import completion_network
from glcic.params import Params
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from pipeline import stage, training_stage


def main(params: Params) -> None:
    """Write models/pretrain_generator, its curve and its sample grid."""
    section = params.pretrain_generator
    with training_stage.opened("pretrain_generator", params, section) as opened:
        completion = completion_network(params.networks.completion, params.input)
        phase = PretrainGeneratorPhase(
            opened.fabric, completion, section, params.input, opened.faces.mean_pixel, params.runtime.compile
        )
        opened.train(phase, local_window=params.crop.size)  # nothing looks through it


if __name__ == "__main__":
    stage.run("pretrain_generator", main)
