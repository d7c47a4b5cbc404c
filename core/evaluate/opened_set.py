"""A collection that was read and compared with a run's manifest, before and after its images are scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.data.breasts import breast_rows
from core.data.manifest import is_excluded, left_out_notes, read_manifest
from core.data.overlap import overlap_of, with_patients
from core.data.overlap_pictures import Progress, copies_of
from core.errors import BadManifest, NotEnoughData
from core.evaluate.external_set import ExternalSet, counts_of, external_set
from core.evaluate.result import OVERLAP, Excluded
from core.evaluate.scoring import Scored
from core.metrics.levels import PATHS
from core.metrics.operating_points import DECIMALS
from core.runs.test_set.access_log import record
from core.runs.test_set.accesses import SCORED, external_detail
from core.runs.test_set.identity import test_set_of_rows
from core.wording import counted

if TYPE_CHECKING:
    from core.runs import Run


COPIES_LATER = "copies of the run's pictures are looked for when scoring starts, and left out as well"


@dataclass(frozen=True)
class OpenedSet:
    """A collection that was read and compared with the run's manifest: `about` it, the run's `own` rows, and the rows that are
    the run's own (`overlap`). `replaces`: another set of the same name may be replaced."""

    about: ExternalSet
    own: pd.DataFrame
    overlap: tuple[Excluded, ...]
    replaces: bool = False

    def without_copies(self, rows: pd.DataFrame, progress: Progress | None = None) -> tuple[OpenedSet, pd.DataFrame]:
        """Without the rows that show a picture of the run's own, and other images of their patients; nothing is scored.

        Raises:
            NotEnoughData: none is left.
        """
        copies, doubt = copies_of(self.own, rows, progress)
        found = with_patients(rows, copies)
        left = rows.drop(index=list(found))
        if left.empty:
            raise NotEnoughData(
                f"{self.about.manifest}: every one of its images that are left to score shows a picture of the run's own "
                f"(first: {next(iter(found.values()))}). It is no external test set of this run."
            )
        about = replace(self.about, doubts=(*self.about.doubts, *([doubt] if doubt else [])))
        return replace(self, about=about, overlap=(*self.overlap, *_excluded(rows, found))), left

    def settled(self, rows: pd.DataFrame, scored: Scored) -> tuple[OpenedSet, Scored, pd.DataFrame]:
        """With what the files turned out to be: (the set, what counts in metrics, the scores of images without a label).

        Only now is known what is in files of which the manifest has no hash, and so whether the run has them.
        """
        known = rows.loc[list(scored.hashes)].assign(content_hash=list(scored.hashes.values()))
        found = overlap_of(self.own, known)
        own, has = set(found.rows), (known["label"] != "").to_dict()
        free = {first: images for first, images in scored.members.items() if not own & set(images)}
        with_label = {first: images for first, images in free.items() if any(has[image] for image in images)}
        labelled = known.loc[[image for images in with_label.values() for image in images]]
        without = known.loc[[image for first in free.keys() - with_label.keys() for image in free[first]]].sort_index()
        unlabelled = _without_label(without, scored)
        about = replace(
            self.about,
            unlabelled=len(without),
            collections=counts_of(labelled, "collection"),
            label_sources=counts_of(labelled, "label_source"),
        )
        more = _excluded(known, found.rows)
        return replace(self, about=about, overlap=(*self.overlap, *more)), scored.of(list(with_label)), unlabelled

    def is_stored(self, entry: Mapping[str, Any]) -> bool:
        """Whether the entry of evaluation.json is of the same images, patients and labels; also where there is none."""
        return not entry.get("opened") or (entry.get("external") or {}).get("content") == self.about.content

    def replacing(self, split: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What an earlier entry of this name hands on to this set: nothing.

        Raises:
            BadManifest: it may not be replaced.
        """
        if self.replaces:
            return {}
        before = entry.get("external") or {}
        raise BadManifest(
            f"{split}: this run was already evaluated on another set of this name: {before.get('images', 'some')} images of "
            f"{before.get('manifest', 'a manifest that is not known')}, with other images, patients or labels. Choose another "
            "name (--name), or have it replaced (--replace): its metrics go, the record of its accesses stays."
        )

    def record(self, run: Path, split: str, rows: pd.DataFrame, where: str, when: str) -> None:
        """Write down that these images are scored. Raises NotRecorded."""
        seen = rows[~rows["path"].isin([item.path for item in self.overlap])]
        keys = [tuple(test_set_of_rows(split, seen).keys)]
        detail = external_detail(self.about.content)
        about = {"images": len(seen), "manifest": self.about.manifest, "detail": detail, "external": split}
        record(run.parent, SCORED, where, keys, run=run, when=when, **about)  # type: ignore[arg-type]


def open_external(run: Run, manifest: Path | str, *, replaces: bool = False) -> tuple[OpenedSet, pd.DataFrame]:
    """Read a collection and compare it with the run's manifest: (the set, the rows that may be scored). Scores nothing.

    Raises:
        BadManifest: the manifest cannot be used.
        NotEnoughData: no row has a label, or every row is of the run's own patients or files.
    """
    path = Path(manifest)
    listed = read_manifest(path)
    away = is_excluded(listed)
    by_hand = left_out_notes(listed[away])
    every = listed[~away].reset_index(drop=True)
    if every.empty:
        raise NotEnoughData(f"{path}: all of its images are excluded by hand. Put some back on the Data page.")
    about = external_set(path, every)
    if about.unlabelled == len(every):
        raise NotEnoughData(
            f"{path}: none of its {counted(len(every), 'image')} has a label, so there is nothing to measure. "
            "`python -m core predict` scores images without labels."
        )
    own = run.seen_rows()
    found = overlap_of(own, every)
    rows = every.drop(index=list(found.rows))
    if rows.empty:
        why = next(iter(found.rows.values()))
        raise NotEnoughData(
            f"{path}: every one of its {counted(len(every), 'image')} is of the run's own patients or files (first: {why}). "
            "It is no external test set of this run."
        )
    opened = OpenedSet(replace(about, doubts=(*found.doubts, *by_hand)), own, _excluded(every, found.rows), replaces)
    return opened, rows


def _without_label(rows: pd.DataFrame, scored: Scored) -> pd.DataFrame:
    """Scores of these images, or of the breasts that they are of, whose label nobody knows."""
    table = breast_rows(rows) if any(len(images) > 1 for images in scored.members.values()) else rows
    table = table[[index in scored.scores for index in table.index]]
    names = [name for name in ("path", "patient_id", "laterality", "view", PATHS) if name in table.columns]
    return table[names].assign(score=[round(scored.scores[index], DECIMALS) for index in table.index])


def _excluded(rows: pd.DataFrame, reasons: Mapping[Any, str]) -> tuple[Excluded, ...]:
    chosen = rows.loc[list(reasons)]
    pairs = zip(chosen["path"].astype("str"), chosen["label"].astype("str"), reasons.values(), strict=True)
    return tuple(Excluded(path, why, label, OVERLAP) for path, label, why in pairs)
