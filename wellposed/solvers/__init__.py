"""Solvers and their choice, results, certificates."""
