"""What works above the stages, with DVC and git: presets, comparisons, seeds, verification, other systems' scores."""
