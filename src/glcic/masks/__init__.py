"""Holes: their geometry, those to train on, and how an image with one is put before the networks."""
