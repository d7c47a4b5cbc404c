from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import BadRun
from core.training.checkpoint import TrainState, load_checkpoint, save_checkpoint

STATES: dict[str, Any] = {"model": {"w": torch.ones(2)}, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}, "scaler": {}}
STATES |= {"average": {}}


def _knot() -> Any:
    """A few lists that would fill the memory when they are written out."""
    knot: Any = [1]
    for _ in range(40):
        knot = [knot, knot]
    return knot


def _content(**progress: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {"format": 2, "progress": {**asdict(TrainState()), **progress}, **STATES}


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    progress = TrainState(epoch=3, best_value=0.5, train_losses=[0.7, 0.6], precision="fp32", val_losses=[float("nan"), 1.0])
    save_checkpoint(tmp_path / "last.pt", progress, STATES)
    found = load_checkpoint(tmp_path / "last.pt")
    assert found is not None
    assert repr(found[0]) == repr(progress)
    assert torch.equal(found[1]["model"]["w"], torch.ones(2)) and found[1].keys() == STATES.keys()
    theirs = torch.load(tmp_path / "last.pt", weights_only=True)
    assert theirs["progress"].keys() == vars(progress).keys()


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "last.pt") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2, 3], "got a list"),
        ({"progress": 5}, "format, model, optimizer, scaler, average is missing"),
        ({**_content(), "progress": 5}, "does not have the fields"),
        ({**_content(), "progress": [1]}, "does not have the fields"),
        ({**_content(), "format": 1}, "written by another version"),
        ({**_content(), "format": [2]}, "written by another version"),
        ({**_content(), "model": 3}, "expected dictionaries"),
        (_content(more=1), "does not have the fields"),
        (_content(epoch="3"), "progress.epoch: Input should be a valid integer, got '3'"),
        (_content(epoch=-1), "progress.epoch"),
        (_content(epoch=2.0), "progress.epoch"),
        (_content(epoch=True), "progress.epoch"),
        (_content(epoch=10**400), "progress.epoch"),
        (_content(epoch=_knot()), "progress.epoch"),
        (_content(seconds="long"), "progress.seconds: Input should be a valid number"),
        (_content(seconds=10**400), "progress.seconds"),
        (_content(finished=1), "progress.finished: Input should be a valid boolean"),
        (_content(precision=None), "progress.precision: Input should be a valid string"),
        (_content(train_losses="none"), "progress.train_losses: Input should be a valid list"),
        (_content(train_losses=[1.0, "x"]), "progress.train_losses"),
        (_content(train_losses=torch.ones(2)), "progress.train_losses"),
        (None, "got a NoneType"),
        (torch.nn.Linear(2, 2), r"holds objects besides tensors and plain values \(torch\.nn\.modules\.linear\.Linear\)"),
    ],
    ids=range(23),
)
def test_a_checkpoint_of_another_shape_is_refused_in_words(content: Any, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(BadRun, match=said) as caught:
        load_checkpoint(tmp_path / "last.pt")
    assert "weights_only" not in str(caught.value)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo executed > executed.txt",)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**_content(), "progress": _Evil()}, "last.pt")
    with pytest.raises(BadRun, match=r"holds objects besides tensors and plain values \(\w+\.system\)"):
        load_checkpoint(Path("last.pt"))
    assert not Path("executed.txt").exists()


@pytest.mark.skipif(os.name == "nt", reason="named pipes and devices of POSIX")
@pytest.mark.timeout(30)
def test_what_is_no_regular_file_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link"):
        with pytest.raises(BadRun, match="expected a regular file"):
            load_checkpoint(tmp_path / name)
