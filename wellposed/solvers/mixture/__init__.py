"""Mixtures of softmax-gated Gaussian experts with L1 penalties."""

from wellposed.solvers.mixture.em import mixture_of_experts
from wellposed.solvers.mixture.model import MixtureFit, MixtureOfExperts
from wellposed.solvers.mixture.theory import oracle_weight

__all__ = ["MixtureFit", "MixtureOfExperts", "mixture_of_experts", "oracle_weight"]
