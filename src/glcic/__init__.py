"""GLCIC: globally and locally consistent image completion, as a reproducible, tracked pipeline."""
