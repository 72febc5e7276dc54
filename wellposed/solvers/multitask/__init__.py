"""Shared linear representations of many tasks, and from which task to take how many samples."""

from wellposed.solvers.multitask.allocation import allocate, allocation_value, relevance
from wellposed.solvers.multitask.representation import SharedRepresentation, shared_representation

__all__ = ["SharedRepresentation", "allocate", "allocation_value", "relevance", "shared_representation"]
