"""The files by which a command goes on with a run that was broken off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wellposed.app.errors import InputError
from wellposed.app.files import check_writable
from wellposed.app.writers import write_text

__all__ = ["CheckpointFile"]


class CheckpointFile:
    """The file of a run that can be taken up again, and beside it a small one with the chosen weight.

    The weight is saved since a second search could end elsewhere if its inputs changed, and would cost its
    time again: the resumed run solves the problem that was broken off.

    Parameters
    ----------
    path : Path
        File of the solver's state; the weight is in the same name with ``.json`` added.
    resume : bool
        Take up what the files hold; without it an existing file is refused.
    settings : mapping
        Label to text of all that changes the problem; a resumed run must have the same.
    seconds : float
        Time between two saves.

    Raises
    ------
    InputError
        If the file exists and `resume` is False, or belongs to other settings, or cannot be written.
    """

    def __init__(self, path: Path, *, resume: bool, settings: Mapping[str, str], seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self._beside = path.with_name(path.name + ".json")
        self._settings = dict(settings)
        self._chosen: dict[str, Any] | None = None
        check_writable(path)
        there = [p for p in (self.path, self._beside) if p.exists()]
        if there and not resume:
            raise InputError(
                f"the checkpoint {there[0]} exists already; add --resume to go on with it, or delete "
                f"{' and '.join(map(str, there))}"
            )
        if self._beside.exists():
            self._chosen = self._read()
        elif self.path.exists():
            raise InputError(
                f"the checkpoint {self.path} has lost its companion {self._beside}; delete it to start again"
            )

    def _read(self) -> dict[str, Any]:
        try:
            stored = json.loads(self._beside.read_text(encoding="utf-8"))
            kept, chosen = dict(stored["settings"]), dict(stored["chosen"])
            chosen["weight"] = float(chosen["weight"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self._beside} cannot be read ({error}); delete it and the checkpoint to start again"
            ) from error
        for label in sorted(kept.keys() | self._settings.keys()):
            before, now = kept.get(label, "nothing"), self._settings.get(label, "nothing")
            if before != now:
                raise InputError(
                    f"the checkpoint {self.path} was made with {label} {before}, not {now}; resume with the "
                    "same settings, or give another checkpoint"
                )
        return chosen

    @property
    def resumes(self) -> bool:
        """Whether a run is taken up."""
        return self._chosen is not None

    @property
    def weight(self) -> tuple[float, str] | None:
        """Weight of the run that is taken up, and how it was chosen."""
        return None if self._chosen is None else (self._chosen["weight"], str(self._chosen["chosen_by"]))

    def remember(self, weight: float, chosen_by: str) -> None:
        """Save the weight, before the run begins."""
        content = {"settings": self._settings, "chosen": {"weight": weight, "chosen_by": chosen_by}}
        write_text(self._beside, json.dumps(content, indent=1))

    def remove(self) -> None:
        """Delete both files: the run is complete."""
        self.path.unlink(missing_ok=True)
        self._beside.unlink(missing_ok=True)
