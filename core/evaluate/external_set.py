"""What an external test set is: where its images and labels come from, and what of it is shared with the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from core.data.identity import patients_known
from core.runs.test_set.identity import fingerprint
from core.wording import counted, listed

NOT_SAID = "not said"
_NAMED = 3  # collections that a title names


@dataclass(frozen=True)
class ExternalSet:
    """Another collection, as its manifest describes it.

    `content` is the fingerprint of its images, patients and labels. `images` and `patients` (None where nobody knows them) are
    those of the manifest, `unlabelled` those that were scored and are in no metric, since they have no label. `collections` and
    `label_sources` count the labelled images that were scored by the manifest's columns of these names, "" where it does not
    say. `doubts` say, in words, what could not be compared when patients and files of the run were looked for.
    """

    manifest: str
    content: str
    images: int
    patients: int | None
    unlabelled: int = 0
    collections: dict[str, int] = field(default_factory=dict)
    label_sources: dict[str, int] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    @property
    def size_words(self) -> str:
        """How much the manifest holds."""
        images = counted(self.images, "image")
        return f"{images}, patients unknown" if self.patients is None else f"{images} of {counted(self.patients, 'patient')}"

    @property
    def source_words(self) -> str:
        """Collection and source of the labels, in words: "collection inbreast; labels from birads"."""
        return f"{_words('collection', self.collections)}; {_words('labels from', self.label_sources)}"

    @property
    def collection_words(self) -> str:
        """Its collections, where there are several: "inbreast and cmmd", "5 collections"; else ""."""
        names = [name or f"collection {NOT_SAID}" for name in self.collections]
        if len(names) < 2:
            return ""
        return listed(names) if len(names) <= _NAMED else counted(len(names), "collection")

    @property
    def unlabelled_words(self) -> str:
        """That images without a label were scored; "" where there are none."""
        if not self.unlabelled:
            return ""
        verb, which = ("has", "it is") if self.unlabelled == 1 else ("have", "they are")
        return f"{counted(self.unlabelled, 'image')} {verb} no label: {which} scored, and in no metric"


def external_set(manifest: Path, rows: pd.DataFrame) -> ExternalSet:
    """Of a manifest's rows, before anything is scored."""
    return ExternalSet(
        manifest=str(Path(manifest).absolute()),
        content=fingerprint(rows),
        images=len(rows),
        patients=int(rows["patient_id"].nunique()) if patients_known(rows) else None,
        unlabelled=int((rows["label"] == "").sum()),
        collections=counts_of(rows, "collection"),
        label_sources=counts_of(rows, "label_source"),
    )


def counts_of(rows: pd.DataFrame, column: str) -> dict[str, int]:
    """How many labelled rows have each value of a column, the most frequent first; "" where they do not say."""
    known = rows[rows["label"] != ""]
    cells = known[column].astype("str").str.strip() if column in known.columns else [""] * len(known)
    return dict(Counter(cells).most_common())


def _words(what: str, counts: dict[str, int]) -> str:
    if len(counts) > 1:
        what = "collections" if what == "collection" else what
        return f"{what} {listed([f'{name or NOT_SAID} ({count:,})' for name, count in counts.items()])}"
    return f"{what} {next(iter(counts), '') or NOT_SAID}"
