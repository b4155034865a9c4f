"""Scores of completions: mask sets, metrics, tables and figures."""
