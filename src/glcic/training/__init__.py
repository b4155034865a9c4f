"""Training: one loop for all three phases, and one small file per phase that shows its mathematics."""
