"""What folders named after classes mean: by an option, by their usual names, or as a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.data.importers.base import Options
from core.data.manifest import LABELS
from core.data.tables import shown
from core.errors import BadManifest
from core.wording import counted

_USUAL = {"benign": ("benign",), "malignant": ("malignant", "cancer")}
# What these most likely mean, which is asked and never assumed: 1 may be a lesion of any kind, normal is no lesion at all.
_LIKELY = {
    **dict.fromkeys(
        ("0", "normal", "negative", "neg", "healthy", "no_cancer", "non_cancer", "noncancer", "non-cancer"), "benign"
    ),
    **dict.fromkeys(("no", "nocancer", "not_cancer", "class0", "class_0", "benign"), "benign"),
    **dict.fromkeys(("1", "cancer", "positive", "pos", "abnormal", "sick", "yes", "class1", "class_1"), "malignant"),
    **dict.fromkeys(("malignant", "cancerous", "tumor", "tumour"), "malignant"),
}


def labels_by_folder(options: Options) -> dict[str, str]:
    """Label by name of folder, in lower case; what an option names wins over what is usual.

    Raises:
        BadManifest: the options contradict each other, or `classes` is not NAME=benign or NAME=malignant with commas between.
    """
    given = {label: [word.lower() for word in options.words(label)] for label in LABELS}
    for pair in options.words("classes"):
        name, _, label = pair.rpartition("=")
        if not name.strip() or label.strip().lower() not in LABELS:
            raise BadManifest(
                f"importer {options.importer}: option classes: expected NAME=benign or NAME=malignant, commas between, got "
                f"{shown(pair)}"
            )
        given[label.strip().lower()].append(name.strip().lower())
    both = sorted(set(given["benign"]) & set(given["malignant"]))
    if both:
        raise BadManifest(
            f"importer {options.importer}: options benign, malignant and classes give {', '.join(both)} both labels"
        )
    usual = {word: label for label, words in _USUAL.items() if not given[label] for word in words}
    return usual | {word: label for label, words in given.items() for word in words}


def is_class(name: str) -> bool:
    """Whether a folder's name, in lower case, may be that of a class."""
    return name in _LIKELY


def question(names: Iterable[str], labels: Mapping[str, str], files: Mapping[str, int]) -> str:
    """What to ask where folders look like classes but nobody has said so; "" where they do not, or both labels are there.

    Args:
        names: of folders, as they are written.
        labels: by name in lower case, what is known.
        files: how many files each of these folders holds, where it was counted.
    """
    there = list(dict.fromkeys(names))
    known = {labels[name.lower()] for name in there if name.lower() in labels}
    likely = {name: _LIKELY[name.lower()] for name in there if name.lower() not in labels and name.lower() in _LIKELY}
    meant = {name: label for name, label in likely.items() if label not in known}
    if not meant or len(known | set(meant.values())) < len(LABELS):
        return ""
    counts = {name: f" ({counted(files[name], 'file')})" for name in meant if name in files}
    listed = ", ".join(f"{name}{counts.get(name, '')} for {label}" for name, label in sorted(meant.items()))
    every = {name: labels[name.lower()] for name in there if name.lower() in labels} | meant
    option = ",".join(f"{name}={label}" for name, label in sorted(every.items()))
    return (
        f"It would take {listed}, but nobody has said that they mean this (1 may be any lesion, 0 may be normal or benign). "
        f"Look at the set's description and confirm it: --classes {option}"
    )
