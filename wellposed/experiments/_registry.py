"""Which experiments there are: one for each public module of this room."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from wellposed.experiments._model import Experiment


def names() -> list[str]:
    """The experiments by name, in alphabetical order.

    Examples
    --------
    >>> from wellposed.experiments import names
    >>> "weighted-tv-tomography" in names()
    True
    """
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(m.name.replace("_", "-") for m in modules if not m.name.startswith("_"))


def find(name: str) -> Experiment:
    """The experiment of that name.

    Parameters
    ----------
    name : str
        One of `names`.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.

    Examples
    --------
    >>> from wellposed.experiments import find
    >>> find("weighted-tv-tomography").title
    'Space-variant total variation from a reference image, few-view tomography'
    """
    if name not in names():
        raise ValueError(f"there is no experiment {name!r}; choose one of {', '.join(names())}")
    module = importlib.import_module(f"wellposed.experiments.{name.replace('-', '_')}")
    experiment = module.EXPERIMENT
    assert isinstance(experiment, Experiment)
    return experiment
