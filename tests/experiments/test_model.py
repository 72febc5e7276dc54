"""Claims, the registry, and the command that runs an experiment."""

from __future__ import annotations

import json
import math

import pytest
from matplotlib.figure import Figure

from wellposed import experiments
from wellposed.app.cli import main
from wellposed.app.reproduce import table
from wellposed.experiments import Claim, Experiment, Report, at_least, at_most, find, names


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        (at_most("s", 0.5, 0.5), True),
        (at_most("s", 0.51, 0.5), False),
        (at_most("s", math.nan, 0.5), False),
        (at_most("s", -math.inf, 0.5), False),
        (at_least("s", 0.5, 0.5), True),
        (at_least("s", 0.49, 0.5), False),
        (at_least("s", math.nan, 0.5), False),
        (at_least("s", math.inf, 0.5), False),
    ],
)
def test_bounds(claim, holds):
    assert claim.holds is holds
    assert claim.outcome == ("holds" if holds else "does not hold")


def test_a_claim_may_be_left_unmeasured():
    assert Claim("s", "at most 1", "", None, "needs the large size").outcome == "not measured"


def test_all_that_are_listed_are_found():
    assert "weighted-tv-tomography" in names()
    for name in names():
        experiment = find(name)
        assert experiment.title
        assert experiment.source


def test_an_unknown_name_lists_the_others():
    with pytest.raises(ValueError, match="weighted-tv-tomography"):
        find("warp-drive")


def test_the_table_keeps_its_columns():
    claims = [at_most("a long statement " * 5, 0.4, 0.5, "a note"), at_least("short", 0.1, 0.5)]
    lines = table(claims).splitlines()
    assert len({line.index("at ") for line in lines if " at " in line}) == 1
    assert sum("does not hold" in line for line in lines) == 1
    assert "  a note" in lines


@pytest.fixture
def planted(monkeypatch):
    """An experiment that claims what it was told."""

    def run(full, seed):
        claims = (at_most("error", 0.25, 0.5, "small" if not full else "large"), at_least("gain", 0.1, 0.5))
        return Report(claims, Figure(), {"seed": seed}, {"errors": [0.25]})

    experiment = Experiment("A planted experiment", "nobody, nowhere", run)
    monkeypatch.setattr(experiments, "find", lambda name: experiment)


def test_reproduce_prints_the_table_and_writes_figure_and_numbers(planted, tmp_path, capsys):
    assert main(["reproduce", "planted", "--seed", "7", "--output", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert "does not hold" in printed
    assert "1 of 2 claims hold" in printed
    assert (tmp_path / "new" / "planted.png").read_bytes()[:4] == b"\x89PNG"
    record = json.loads((tmp_path / "new" / "planted.json").read_text())
    assert [claim["holds"] for claim in record["claims"]] == [True, False]
    assert record["claims"][0]["note"] == "small"
    assert record["settings"] == {"seed": 7}
    assert record["numbers"] == {"errors": [0.25]}


def test_reproduce_full(planted, tmp_path, capsys):
    assert main(["reproduce", "planted", "--full", "-q", "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "planted.json").read_text())["claims"][0]["note"] == "large"


def test_reproduce_list(capsys):
    assert main(["reproduce", "--list"]) == 0
    assert "weighted-tv-tomography" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce"], "--list"),
        (["reproduce", "warp-drive"], "weighted-tv-tomography"),
        (["reproduce", "weighted-tv-tomography", "--seed", "-1"], "seed"),
    ],
)
def test_bad_input(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(planted, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["reproduce", "planted", "-o", str(tmp_path / "file" / "below")]) == 2
    assert "choose another --output" in capsys.readouterr().err
