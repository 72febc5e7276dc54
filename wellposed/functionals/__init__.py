"""Functionals: values, gradients, proximal maps and conjugates; `Parameter` and `Objective`."""
