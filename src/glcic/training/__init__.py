"""Training: a loop for all phases, checkpoints, losses, optimizers, learning curves and samples."""
