"""Masks: their geometry, training masks, mask files, and preprocessing of masked images for the networks."""
