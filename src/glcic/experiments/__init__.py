"""Tools on top of the stages, DVC and git: presets, comparisons, seeds, verification, scores of other systems."""
