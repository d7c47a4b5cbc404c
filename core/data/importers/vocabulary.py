"""The vocabulary of tables and folder names: words for splits, numbers, and how cells are compared."""

from __future__ import annotations

import re
import unicodedata

_SPLITS = {
    **dict.fromkeys(("train", "training", "trn", "treino", "treinamento", "entrenamiento", "entrainement"), "train"),
    **dict.fromkeys(("apprentissage", "addestramento"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development", "tune", "tuning"), "val"),
    **dict.fromkeys(("validierung", "validacion", "validacao", "validazione"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "teste", "prueba"), "test"),
}
# What stands beside the word: "Training Set", "validation_data", "test-images".
_BESIDE = {"set", "sets", "data", "dataset", "split", "subset", "partition", "images", "image", "samples", "cases"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:[.,][0-9]*)?|[.,][0-9]+)(?:e[+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"([+-]?)0*([0-9]{1,15})(?:[.,]0*)?")


def plain(text: str) -> str:
    """A name without case, accents, blanks, dashes and underscores: how names of columns are compared."""
    letters = unicodedata.normalize("NFKD", text)
    return re.sub(r"[\s_\-.]", "", "".join(letter for letter in letters if not unicodedata.combining(letter))).casefold()


def split_of(text: str) -> str | None:
    """train, val or test where the words say so, "" for nothing, None for anything else."""
    letters = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)).casefold()
    words = [word for word in re.split(r"[\W_]+", letters) if word]
    if not words:
        return ""
    telling = [word for word in words if word not in _BESIDE] or words
    found = {_SPLITS.get(word) or _SPLITS.get(re.sub(r"(set|data|images)$", "", word)) for word in telling}
    return found.pop() if len(found) == 1 else None


def cell_word(text: str) -> str:
    """A cell as labels and splits are compared: in lower case; 1.0, 01 and 1,0 are 1."""
    word = text.strip().casefold()
    whole = _WHOLE.fullmatch(word)
    return f"{'-' if whole[1] == '-' and int(whole[2]) else ''}{whole[2]}" if whole else word


def is_number(text: str) -> bool:
    """Whether a cell is a number, with a decimal point or comma."""
    return _NUMBER.fullmatch(text.strip().casefold()) is not None
