"""Reproduced papers: each a module here, whose claims are measured.

A module ``some_paper.py`` defines ``EXPERIMENT``, an `Experiment`; that is all it takes to be listed by
`names` and run by ``wellposed reproduce some-paper``. Modules whose names begin with an underscore hold
what experiments share.
"""

from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.experiments._registry import find, names

__all__ = ["Claim", "Experiment", "Report", "at_least", "at_most", "find", "names"]
