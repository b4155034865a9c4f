"""A trained network, or a classical method, as a function: image + mask → completed image."""
