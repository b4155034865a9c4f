"""Evaluation of completions: mask sets, metrics, tables and figures."""
