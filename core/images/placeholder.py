"""Placeholders: words that stand where a patient's identifier was removed or never known."""

from __future__ import annotations

import re
import unicodedata

# As published sets, anonymisers, spreadsheets and programming languages write them; compared in lower case, without accents.
_WORDS = frozenset(
    (
        *("none", "null", "nil", "nan", "na", "n/a", "nat", "undefined", "unspecified", "missing", "empty", "blank", "void"),
        *("not available", "not applicable", "not known", "not given", "no id", "no name", "noname", "nobody", "unnamed"),
        *("removed", "deleted", "redacted", "masked", "hidden", "erased", "stripped", "cleared", "suppressed", "withheld"),
        *("confidential", "private", "secret", "anon", "anonym", "anonymous", "anonymized", "anonymised", "anonymize"),
        *("anonymise", "deidentified", "de-identified", "deid", "pseudonymized", "pseudonymised", "unknown", "unk"),
        *("anonymisiert", "anonyme", "anonimo", "anonima", "anonimizado", "anonimizzato", "anoniem", "anonimowy", "anonim"),
        *("unbekannt", "inconnu", "inconnue", "desconocido", "desconocida", "desconhecido", "sconosciuto", "onbekend"),
        *("okand", "ukjent", "ukendt", "nieznany", "entfernt", "geloscht", "supprime", "eliminado", "removido", "rimosso"),
        *("patient", "subject", "case", "id", "patientid", "patient_id", "patient id", "patient name", "name", "dummy"),
        *("tbd", "#n/a", "#ref!", "#value!", "#name?", "#null!", "#num!", "匿名", "不明", "未知", "익명"),
    )
)
_FILLERS = re.compile(r"([-_?.*#x=~/\\+!])\1*", re.IGNORECASE)


def is_placeholder(text: str) -> bool:
    """Whether an identifier identifies nobody: empty, "removed", "ANONYMOUS", "nan", "<unknown>", "xxxx", "----"."""
    letters = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in letters if unicodedata.category(letter) not in ("Mn", "Cf", "Cc"))
    plain = re.sub(r"[\s^]+", " ", plain).strip().casefold()
    if not plain or plain in _WORDS or _FILLERS.fullmatch(plain):
        return True
    return unicodedata.normalize("NFC", plain.strip(" <>()[]{}\"'*_-.:#")) in {"", *_WORDS}
