"""evaluation.json with any one value replaced: an evaluation that can be printed, or a damaged file."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from builders.fake_run import FakePredictor
from builders.saved_run import make_saved_run

from core.cli.evaluation_text import show
from core.errors import BadRun
from core.evaluate import evaluate, read_evaluation
from core.runs import Run


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("scored")
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        run = make_saved_run(folder / "run")
        evaluate(run, "val", predictor=FakePredictor(run.model_card()))  # type: ignore[arg-type]
    return run


def places(node: Any, path: tuple[Any, ...] = (), most: int = 2) -> Iterator[tuple[Any, ...]]:
    """Of every value in it; of long lists the first few."""
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node[:most]) if isinstance(node, list) else ()
    for key, item in items:
        yield from places(item, (*path, key), most)


VALUES: list[Any] = ["x", None, [], {}, True, -1, 1e300, [1, "a"], {"value": 1}]
SHOWN = 9  # one in so many of the readable ones is printed too: printing takes most of the time


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.slow)], ids=["every 29th", "every one"])
def test_any_one_value_replaced_is_an_evaluation_or_a_damaged_file(scored: Run, value: Any, step: int) -> None:
    path = scored.path / "evaluation.json"
    sound = path.read_text(encoding="utf-8")
    content = json.loads(sound)
    unexpected = []
    try:
        for number, place in enumerate(islice(places(content["val"]), VALUES.index(value), None, step)):
            changed = copy.deepcopy(content)
            node: Any = changed
            for key in ("val", *place)[:-1]:
                node = node[key]
            node[("val", *place)[-1]] = value
            path.write_text(json.dumps(changed), encoding="utf-8")
            try:
                found = read_evaluation(scored, "val")
                if found is not None:
                    if number % SHOWN == 0:
                        with contextlib.redirect_stdout(io.StringIO()):
                            show(found, full=True)
                    json.dumps(found.to_dict(), allow_nan=False)
            except BadRun:
                pass
            except Exception as error:  # noqa: BLE001  all of them are wanted, to be shown together
                unexpected.append(f"{place}: {type(error).__name__}: {error}")
    finally:
        path.write_text(sound, encoding="utf-8")
    assert not unexpected, "\n".join(unexpected)


def test_the_file_that_was_not_changed_is_read(scored: Run) -> None:
    assert read_evaluation(Run(Path(scored.path)), "val") is not None
