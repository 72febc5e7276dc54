"""Coordinate descent on working sets, for sparse regression."""
