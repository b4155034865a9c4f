"""Training: one loop for all phases, its checkpoints, losses, optimizers, learning curves and samples."""
