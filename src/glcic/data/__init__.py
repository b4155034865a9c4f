"""Where images come from, how they are cropped and packed, and how batches are drawn."""
