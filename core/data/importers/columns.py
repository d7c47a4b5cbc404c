"""Label and split columns of a table. Where their meaning is unclear, the import asks instead of guessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from core.data.importers.base import Options
from core.data.importers.vocabulary import cell_word, is_number, split_of
from core.data.manifest import LABELS, SPLITS
from core.data.tables import shown
from core.errors import BadManifest
from core.images.placeholder import is_placeholder
from core.wording import counted

BENIGN = "benign,benign_without_callback,0,negative,false,no,b,benigno,benigna,benigne"
MALIGNANT = "malignant,1,cancer,positive,true,yes,m,malign,maligno,maligna,maligne"
_DEFAULTS = {"benign": BENIGN, "malignant": MALIGNANT}
_NAMED = 8
# Cells without a split. Other words (private, hidden, x, ?) may be a test set that nobody is to see: their rows are left out.
_NO_SPLIT = {"", "nan", "na", "n/a", "<na>", "#n/a", "none", "null", "nil", "empty", "blank", "missing", "unassigned", "(null)"}
_FEW = 3  # different numbers that are most likely grades of one thing


class Labels:
    """What each word of the label column means: by the options where they are given, by the usual words elsewhere."""

    def __init__(self, options: Options, column: str, cells: Sequence[str]) -> None:
        """Raises BadManifest where it has to be asked what the numbers mean, or where the options contradict each other."""
        given = {label: [cell_word(word) for word in options.words(label)] for label in LABELS}
        both = sorted(set(given["benign"]) & set(given["malignant"]))
        if both:
            raise BadManifest(f"importer {options.importer}: options benign and malignant both name {', '.join(both)}")
        self._meaning: dict[str, str] = {}
        for label in LABELS:
            if not given[label]:
                self._meaning |= dict.fromkeys(map(cell_word, _DEFAULTS[label].split(",")), label)
        for label, words in given.items():  # an explicit word wins over a usual one
            self._meaning |= dict.fromkeys(words, label)
        self._counts = Counter(cell_word(cell) for cell in cells)
        self._given = given
        self._column = column
        if not all(given.values()):
            self._ask(options)

    def of(self, cell: str) -> str | None:
        """benign, malignant, or None."""
        return self._meaning.get(cell_word(cell))

    def refusal(self, cell: str) -> str:
        """Why a cell is no label."""
        if is_placeholder(cell):
            return f"no label ({shown(cell)})" if cell else "no label"
        return f"label {shown(cell)} is mapped to neither benign nor malignant (options benign=..., malignant=...)"

    def notes(self, *, unlabelled: bool = False) -> list[str]:
        """What was taken for what, with numbers of rows; options that no row follows. `unlabelled`: rows without are kept."""
        read = [
            f"{', '.join(f'{shown(word)} ({count})' for word, count in self._of(label)[:_NAMED])} as {label}"
            for label in LABELS
            if self._of(label)
        ]
        notes = [f"labels of column {self._column}: {'; '.join(read)}"] if read else []
        other = [(word, count) for word, count in self._counts.most_common() if word not in self._meaning]
        if unlabelled:
            without = [(word, count) for word, count in other if is_placeholder(word)]
            other = [each for each in other if each not in without]
            if without:
                notes.append(f"{counted(sum(count for _, count in without), 'row')} without a label: kept, unlabelled")
        if other:
            named = ", ".join(f"{shown(word)} ({count})" for word, count in other[:_NAMED])
            notes.append(f"labels taken as neither, and their rows left out: {named}")
        for label, words in self._given.items():
            unused = [word for word in words if word not in self._counts]
            if unused:
                notes.append(f"option {label}: no row of column {self._column} says {', '.join(map(shown, unused))}")
        return notes

    def _of(self, label: str) -> list[tuple[str, int]]:
        return [(word, count) for word, count in self._counts.most_common() if self._meaning.get(word) == label]

    def _ask(self, options: Options) -> None:
        odd = [word for word in self._counts if word not in self._meaning and is_number(word)]
        if not odd:
            return
        first = [*odd, *(word for word, _ in self._counts.most_common() if word not in odd)][:_NAMED]
        there = ", ".join(f"{shown(word)} ({counted(self._counts[word], 'row')})" for word in first)
        numbers = sorted((word for word in self._counts if is_number(word)), key=lambda word: float(word.replace(",", ".")))
        example = "benign=... malignant=..."
        if len(numbers) <= _FEW:
            example = f"benign={','.join(numbers[:-1]) or '...'} malignant={numbers[-1]} if that is so"
        raise BadManifest(
            f"importer {options.importer}: what do the labels in column {self._column} mean? It holds {there}, and without "
            f"both options only 0 is known to mean benign and 1 malignant. Say it, for example {example}; what stands in "
            "neither is left out"
        )


class Splits:
    """What each word of the split column means; a column of folds is none, unless the options say which are which."""

    def __init__(self, options: Options, column: str, guessed: bool, cells: Sequence[str]) -> None:
        """Raises BadManifest where a column that the user named holds folds, and nothing says what they are."""
        given = {split: [cell_word(word) for word in options.words(split)] for split in SPLITS}
        named = [word for words in given.values() for word in words]
        if len(set(named)) < len(named):
            raise BadManifest(f"importer {options.importer}: options train, val and test name the same word twice")
        self.notes: list[str] = []
        self.used = bool(column)
        self._meaning = {word: split for split, words in given.items() for word in words}
        self._rest: str | None = None
        words = Counter(cell_word(cell) for cell in cells) if column else Counter()
        words.pop("", None)
        if named and not column:
            raise BadManifest(f"importer {options.importer}: options train, val and test need a split column: split_column=...")
        unused = [word for word in named if word not in words]
        if unused:
            self.notes.append(f"options train, val, test: no row of column {column} says {', '.join(map(shown, unused))}")
        numbers = bool(words) and all(map(is_number, words))
        if named and numbers and not given["train"]:
            self._rest = "train"
        elif not named and (numbers or not any(map(self.of, words))) and words:
            self._drop(options, column, guessed, words, numbers)
        if unknown := [(word, count) for word, count in words.most_common() if self.of(word) is None]:
            there = ", ".join(f"{shown(word)} ({count})" for word, count in unknown[:_NAMED])
            self.notes.append(
                f"warning: column {column} holds words that are no split, and their rows were left out: {there}. The options "
                "train, val and test say what a word means"
            )

    def of(self, cell: str) -> str | None:
        """train, val, test, "" for none, or None for a word without a meaning."""
        word = cell_word(cell)
        if not self.used or word in _NO_SPLIT or (split_of(word) == "" and not word.strip("-_./ ")):
            return ""
        return self._meaning.get(word) or split_of(word) or self._rest

    def _drop(self, options: Options, column: str, guessed: bool, words: Counter[str], numbers: bool) -> None:
        there = ", ".join(f"{shown(word)} ({count})" for word, count in sorted(words.items())[:_NAMED])
        what = "numbers, as of cross-validation folds" if numbers else "no word for a split"
        example = f"val={min(words)} test={max(words)}" if len(words) > 1 else f"test={min(words)}"
        how = f"To use it, say which are which, for example {example} (with numbers the others become train)"
        if not guessed:
            raise BadManifest(f"importer {options.importer}: column {column} holds {what}: {there}. {how}")
        self.used = False
        self.notes.append(f"column {column} holds {what} ({there}): no split was taken from it, it was kept as it is. {how}")
