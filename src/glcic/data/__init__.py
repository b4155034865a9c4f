"""Image sources, cropping and packing of images, and training batches."""
