"""Scores, classical baselines and figures."""
