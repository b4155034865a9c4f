"""Image completion by a trained network or a classical method: image + mask → completed image."""
