"""Test images on the pages: hidden until they are switched on, which is written down before the first is shown.

Data, Preprocess, Inspector and the examples of Test image are about a data set: its own test split is sealed there, and the
test images of every run that has not evaluated them, with all other images of these patients. Pages about a run go by its
split.
A switch holds for one page and one visit; what it showed is in the record (core.runs.test_set.accesses) of every run with
these test images.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.data.checks import Problem
from core.errors import LabError
from core.runs import Run
from core.runs.test_set import access_log
from core.runs.test_set.accesses import IMAGES, KINDS, LABELS, PREPROCESS, RECIPE, external_detail, read_record
from core.runs.test_set.identity import (
    TestSet,
    closed_sizes,
    file_keys,
    frame_keys,
    image_keys,
    run_folders,
    sealed_by,
    sealed_rows,
    test_set_of,
    test_set_of_manifest,
    warning_of,
)
from core.wording import counted, plain
from dashboard.cache import results
from dashboard.state import datasets, settings
from dashboard.state.file_stamps import of_files, stamp
from dashboard.ui import notices

if TYPE_CHECKING:
    from core.evaluate import Evaluation
    from dashboard.cache.images import ImageRef

SHOW = "Show test images"
WHY = (
    "They are for the one evaluation at the end: a recipe or model that was chosen while looking at them scores better on "
    "them than on new images. Showing them is recorded for every run that is tested on them, and is in its report."
)
_RECORDED = "sealing:recorded"  # in the session: (page, kind, run, image) of what is in the record
_REFUSED = "sealing:refused"  # in the session: why a switch did not turn


# ---------------------------------------------------------------- what is sealed


class _Sources(NamedTuple):
    """Where test sets are defined, and the state of these files: equal sources have equal test sets."""

    runs: tuple[tuple[Path, tuple[int, int]], ...]
    manifests: tuple[Path, ...]  # their times of change belong to the cache keys of paths

    def test_sets(self) -> list[TestSet]:
        return [*(_of_folder(folder, stamps) for folder, stamps in self.runs), *map(_of_manifest, self.manifests)]


def _sources() -> _Sources:
    runs = tuple((folder, _stamps(folder)) for folder in run_folders(settings.checkpoints()))
    return _Sources(runs, tuple(datasets.find_manifests()))


def test_sets() -> list[TestSet]:
    """Of all runs, and of the data sets' own splits; read again when their files change."""
    return _sources().test_sets()


def _stamps(folder: Path) -> tuple[int, int]:
    return stamp(folder / "manifest.csv"), stamp(folder / "evaluation.json")


@st.cache_resource(max_entries=1024, show_spinner=False, hash_funcs=of_files())
def _of_folder(folder: Path, stamps: tuple[int, int]) -> TestSet:
    return test_set_of(folder)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=of_files())
def _of_manifest(path: Path) -> TestSet:
    return test_set_of_manifest(path)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=of_files())
def _keys(manifest: Path, sizes: tuple[int, ...]) -> list[tuple[str, ...]]:
    return frame_keys(datasets.manifest_frame(manifest), sizes)


def keys_of(manifest: Path) -> list[tuple[str, ...]]:
    """The keys that each image of the manifest is known by, a tuple per row. Raises BadManifest."""
    return _keys(manifest, closed_sizes(test_sets()))


def sealed(manifest: Path) -> NDArray[np.bool_]:
    """Which rows of the manifest are sealed, bool (N,), read-only. Raises BadManifest."""
    return _sealed(manifest, _sources())


# Every view asks for it several times, and 100,000 rows take a fifth of a second.
@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=of_files())
def _sealed(manifest: Path, sources: _Sources) -> NDArray[np.bool_]:
    frame, sets = datasets.manifest_frame(manifest), sources.test_sets()
    keys = _keys(manifest, closed_sizes(sets))
    marks = sealed_rows(keys, frame["patient_id"].tolist(), frame["split"].tolist(), sets)
    marks.setflags(write=False)
    return marks


# ---------------------------------------------------------------- the switch


def switch(page: str, manifest: Path) -> bool:
    """How many images are hidden, and the switch that shows them on this page; whether it is on. Nothing where none is."""
    count = int(sealed(manifest).sum())
    if not count:
        return False
    key = _switch(page, manifest)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.toggle(SHOW, key=key, help=WHY, on_change=_turned, args=(page, manifest, key))
        on = is_on(page, manifest)
        words = f"{counted(count, 'image')} of test patients"
        state = f"{words} are shown: it is recorded" if on else f"{words} are hidden"
        st.caption(f":material/{'lock_open' if on else 'lock'}: {state}", width="content")
    if reason := st.session_state.pop(_REFUSED, ""):
        notices.error(reason)
    return on


def is_on(page: str, manifest: Path) -> bool:
    """Whether test images of this data set are shown on the page."""
    return bool(st.session_state.get(_switch(page, manifest)))


def visible(page: str, manifest: Path) -> pd.DataFrame:
    """The manifest's rows that the page may show. Raises BadManifest."""
    frame = datasets.manifest_frame(manifest)
    return frame if is_on(page, manifest) else frame[~sealed(manifest)]


def _switch(page: str, manifest: Path) -> str:
    return f"test_images:{page}:{manifest}"


def _turned(page: str, manifest: Path, key: str) -> None:
    """Record that the page now lists all test images with their labels; the switch stays off where that fails."""
    if not st.session_state[key]:
        return
    try:
        record(LABELS, page, list(_marked(manifest, sealed(manifest)).values()), manifest=manifest)
    except LabError as error:
        st.session_state[key] = False
        st.session_state[_REFUSED] = str(error)


# ---------------------------------------------------------------- the record


def record(
    kind: str,
    page: str,
    keys: Sequence[Sequence[str]],
    *,
    run: Run | None = None,
    manifest: Path | None = None,
    detail: str = "",
    external: Evaluation | None = None,
) -> None:
    """Write down an access to these images, of an external test set of the run where one is given.

    Raises NotRecorded: then give none.
    """
    root = settings.checkpoints() if run is None else run.path.parent
    folder = None if run is None else run.path
    where = settings.display_path(manifest) if manifest is not None else ""
    split = ""
    if external is not None and external.external is not None:
        split, detail = external.split, external_detail(external.external.content)
    access_log.record(root, kind, page, keys, run=folder, manifest=where, detail=detail, sets=test_sets(), external=split)


def record_shown(page: str, manifest: Path, paths: Iterable[str]) -> None:
    """Before the pictures of these rows are shown: record those that are sealed, once a session. Raises NotRecorded."""
    frame = datasets.manifest_frame(manifest)
    marks = frame["path"].isin(set(paths)).to_numpy() & sealed(manifest)
    _once(page, IMAGES, _marked(manifest, marks), manifest=manifest)


def _marked(manifest: Path, marks: NDArray[np.bool_]) -> dict[str, tuple[str, ...]]:
    """The keys of these rows by path."""
    if not marks.any():
        return {}
    paths, keys = datasets.manifest_frame(manifest)["path"].to_numpy(), keys_of(manifest)
    return {paths[row]: keys[row] for row in np.flatnonzero(marks)}


def record_run(kind: str, page: str, run: Run, paths: Iterable[str]) -> None:
    """Before a page about a run shows these images: record those of its test set and of its external ones, once a session.

    Raises NotRecorded (it cannot be written down).
    """
    shown = set(paths)
    manifest = run.path / "manifest.csv"
    frame = datasets.manifest_frame(manifest)
    marks = frame["path"].isin(shown).to_numpy() & (frame["split"] == "test").to_numpy()
    _once(page, kind, _marked(manifest, marks), run=run)
    for split in results.external_splits(run):
        found = results.evaluation(run, split)
        rows = None if found is None else found.predictions[found.predictions["path"].isin(shown)]
        if found is not None and found.external is not None and rows is not None and len(rows):
            _once(page, kind, dict(zip(rows["path"], frame_keys(rows), strict=True)), run=run, external=found)


def _once(
    page: str,
    kind: str,
    keys: dict[str, tuple[str, ...]],
    *,
    run: Run | None = None,
    manifest: Path | None = None,
    external: Evaluation | None = None,
) -> None:
    recorded: set[tuple[str, str, str, str]] = st.session_state.setdefault(_RECORDED, set())
    name = "" if run is None else str(run.path)
    news = {path: each for path, each in keys.items() if (page, kind, name, path) not in recorded}
    if news:
        record(kind, page, list(news.values()), run=run, manifest=manifest, external=external)
        recorded.update((page, kind, name, path) for path in news)


def recipe_saved(recipe_hash: str) -> None:
    """A recipe was saved for training: recorded where test images of the current data set had been shown on Preprocess."""
    manifest = datasets.current_manifest()
    root = settings.checkpoints()
    if manifest is None:
        return
    where = settings.display_path(manifest)
    shown_there = [each for each in read_record(root) if each.where == PREPROCESS and each.kind in KINDS]
    before = [each for each in shown_there if each.manifest in ("", where)]
    if before:
        keys = [*(each.keys for each in before if each.keys), *_marked(manifest, sealed(manifest)).values()]
        record(RECIPE, PREPROCESS, keys, manifest=manifest, detail=recipe_hash)


# ---------------------------------------------------------------- files that are no row of a data set


def record_file(image: ImageRef, page: str, kind: str, runs: Sequence[Run] = ()) -> None:
    """Before an upload or a typed path is shown: record it where it is a test image, and say so where that is sealed.

    `runs`: the models that it is shown with, on a page about runs: the split of each decides about its own images. Raises
    NotRecorded (it cannot be written down; show nothing then).
    """
    warnings: list[str] = []
    for run in runs or (None,):
        keys, found = sealed_file(image.source, image.key, run)
        if found is not None:
            own = run if run is not None and found.folder == run.path else None
            _once(page, kind, {image.key: keys}, run=own)
            warnings.append(plain(warning_of(found)))
        elif run is not None:
            record_of_model(run, image, page, kind)
    for words in dict.fromkeys(warnings):
        notices.warning(words, icon="lock_open")


def record_of_model(run: Run, image: ImageRef, page: str, kind: str) -> None:
    """Before a model's result for an image is shown: record it if it is a test image of the run. Raises NotRecorded."""
    own = _of_folder(run.path, _stamps(run.path))
    keys = _file_keys(image.key, image.source)
    if own.keys & set(keys):
        _once(page, kind, {image.key: keys}, run=run)


def sealed_file(source: Path | bytes, key: str, run: Run | None) -> tuple[tuple[str, ...], TestSet | None]:
    """The file's keys, and the unopened test set that it belongs to, if it does."""
    keys = _file_keys(key, source)
    return keys, sealed_by(keys, test_sets(), None if run is None else run.path)


@st.cache_data(max_entries=512, show_spinner=False)
def _file_keys(key: str, _source: Path | bytes) -> tuple[str, ...]:
    return file_keys(_source)


def is_sealed(path: str, run: Run) -> bool:
    """Whether a page about a run may not show this file: it is known by its place alone, nothing is read."""
    return sealed_by(image_keys(path), test_sets(), run.path) is not None


# ---------------------------------------------------------------- words that name images


def redacted(problem: Problem, manifest: Path) -> str:
    """The message of a check, without the names of test images' files."""
    paths = datasets.manifest_frame(manifest)["path"].to_numpy()
    marks = sealed(manifest)
    text = problem.message
    rows = (row for row in problem.rows if marks[row]) if problem.rows else np.flatnonzero(marks)
    for path in map(str, paths[list(rows)]):
        if os.path.basename(path) in text:  # noqa: PTH119  # of thousands of paths: quick
            names = "|".join(re.escape(name) for name in (path, Path(path).as_posix(), Path(path).name))
            text = re.sub(rf"(?<![\w.-])(?:{names})(?![\w-])", "a test image", text)
    return text
