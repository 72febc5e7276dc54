"""The file of learned parameters: plain JSON, every entry of which is checked when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

import wellposed
from wellposed.app.errors import InputError
from wellposed.app.files import check_readable
from wellposed.app.writers import write_text

__all__ = ["FORMAT", "NAMES", "NOISE_UNITS", "VERSION", "LearnedFile", "read_learned", "write_learned"]

FORMAT = "wellposed parameters"
VERSION = 1
_LARGEST = 64 * 2**20

NAMES: dict[str, tuple[str, ...]] = {
    "tv": ("weight", "smoothing"),
    "weighted-tv": ("weight", "smoothing", "eta"),
    "foe": ("filters", "weights", "smoothing"),
    "tikhonov": ("weight",),
}
"""Prior to the names of its values."""

NOISE_UNITS = {
    "denoise": "standard deviation, in the units of the image",
    "deblur": "standard deviation, in the units of the image",
    "ct": "standard deviation, as a share of the largest line integral",
}

_COMMANDS = {"denoise": "denoise", "deblur": "deblur", "ct": "reconstruct"}
_AT_LEAST_ZERO = ("weights", "ridge")
_ANY_SIGN = ("filters",)


@dataclass(frozen=True)
class LearnedFile:
    """What was learned, and for which kind of images.

    Attributes
    ----------
    task : {"denoise", "deblur", "ct"}
    prior : {"tv", "weighted-tv", "foe", "tikhonov"}
    noise : float
        Of the examples, in the units of `NOISE_UNITS`.
    channels : {1, 3}
        Grey or colour.
    image_scale : float
        The 99th percentile of the absolute numbers of the true images (for CT, of their filtered
        back-projections): parameters in the units of the image belong to it.
    values : dict
        The learned values by name: numbers, or lists for the fields of experts.
    ridge : float
        Weight of the squared norm that makes every problem strongly convex, relative to the data fit.
    power : float
        How much weights of ``weighted-tv`` spare edges, see `wellposed.regularisation.tv_weights_from`.
    initial : dict
        For ``weighted-tv`` the weight and the smoothing of the first image, which tells where edges are.
    setting : dict
        How the examples were measured, label to text: blur, or views and size.
    training : dict
        What the learning reported, label to text.
    """

    task: str
    prior: str
    noise: float
    channels: int
    image_scale: float
    values: dict[str, Any]
    ridge: float = 0.0
    power: float = 1.0
    initial: dict[str, float] = field(default_factory=dict)
    setting: dict[str, str] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)

    def require(self, task: str, path: Path) -> None:
        """Refuse another task than the one it was learned for.

        Raises
        ------
        InputError
        """
        if self.task != task:
            raise InputError(
                f"the parameters {path} were learned for {self.task}: use them with wellposed "
                f"{_COMMANDS[self.task]}, or learn others with --task {task}"
            )

    def warnings(self, noise: float | None) -> tuple[str, ...]:
        """Notes for data whose noise is not that of the examples (``None``: not known)."""
        if noise is None or 0.8 <= noise / self.noise <= 1.25:
            return ()
        note = (
            f"the parameters were learned for noise {self.noise:.4g}, and the noise here is {noise:.4g} "
            f"({NOISE_UNITS[self.task]}): learn others with --noise {noise:.4g}"
        )
        return (note,)

    def __str__(self) -> str:
        shown = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{len(value)} {name}"
            for name, value in self.values.items()
        )
        return f"learned {self.prior}: {shown}"


def write_learned(path: Path, learned: LearnedFile) -> None:
    """Write the file, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "wellposed": wellposed.__version__,
        "units": {"noise": NOISE_UNITS[learned.task]},
        **asdict(learned),
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_learned(path: Path) -> LearnedFile:
    """Read and check a file.

    Raises
    ------
    InputError
        If it is missing, damaged, of another kind or a later version, or has an entry too few, too many
        or out of range.
    """
    check_readable(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the file that wellposed learn wrote")
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is far too large")
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"the parameters {path} cannot be read as JSON ({error}); copy the file again, or learn them anew"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is no file of parameters; give one that wellposed learn wrote")
    if content.get("version") != VERSION:
        raise InputError(
            f"the parameters {path} are of version {content.get('version')}, this program reads version "
            f"{VERSION}; install the version of wellposed that wrote them ({content.get('wellposed')})"
        )
    try:
        return _checked(content)
    except (ValueError, TypeError) as error:
        raise InputError(f"the parameters {path} are damaged: {error}; learn them anew") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds the number {name}")


def _checked(content: dict[str, Any]) -> LearnedFile:
    names = {f.name for f in fields(LearnedFile)}
    given = set(content) - {"format", "version", "wellposed", "units"}
    if given != names:
        missing, unknown = sorted(names - given), sorted(given - names)
        raise ValueError(
            " and ".join(
                f"the entries {', '.join(these)} are {how}"
                for these, how in ((missing, "missing"), (unknown, "unknown"))
                if these
            )
        )
    task, prior = content["task"], content["prior"]
    for name, value, known in (("task", task, NOISE_UNITS), ("prior", prior, NAMES)):
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} is {value!r}, not one of {', '.join(known)}")
    if content["channels"] not in (1, 3) or isinstance(content["channels"], bool):
        raise ValueError(f"channels is {content['channels']!r}, not 1 or 3")
    return LearnedFile(
        task=task,
        prior=prior,
        noise=_number(content["noise"], "noise"),
        channels=content["channels"],
        image_scale=_number(content["image_scale"], "image_scale"),
        values=_values(content["values"], NAMES[prior], experts=prior == "foe"),
        ridge=_number(content["ridge"], "ridge"),
        power=_number(content["power"], "power"),
        initial=_values(content["initial"], NAMES["tv"] if prior == "weighted-tv" else ()),
        setting=_texts(content["setting"], "setting"),
        training=_texts(content["training"], "training"),
    )


def _values(given: Any, names: tuple[str, ...], experts: bool = False) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) != set(names):
        found = ", ".join(map(str, given)) if isinstance(given, dict) else repr(given)
        raise ValueError(f"there should be values for {', '.join(names) or 'nothing'}, not for {found}")
    if not experts:
        return {name: _number(given[name], name) for name in names}
    arrays = {name: _array(given[name], name, 3 if name == "filters" else 1) for name in names}
    counts = {name: len(a) for name, a in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"filters, weights and smoothing should be equally many, not {counts}")
    return {name: a.tolist() for name, a in arrays.items()}


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is {value!r}, not a number")
    _check_sign(np.asarray(float(value)), name)
    return float(value)


def _array(value: Any, name: str, ndim: int) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.zeros(0, object)
    if array.dtype.kind not in "if" or array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} should be a nested list of numbers with {ndim} level(s)")
    _check_sign(array, name)
    return array.astype(float)


def _check_sign(array: np.ndarray, name: str) -> None:
    least = -math.inf if name in _ANY_SIGN else 0.0
    good = np.isfinite(array) & ((array >= least) if name in _AT_LEAST_ZERO else (array > least))
    if not good.all():
        raise ValueError(f"{name} holds {array[~good].flat[0]}, which is out of range")


def _texts(given: Any, name: str) -> dict[str, str]:
    if not isinstance(given, Mapping) or not all(isinstance(v, str) for v in given.values()):
        raise ValueError(f"{name} should be a table of texts")
    return dict(given)
