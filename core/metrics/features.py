"""What the columns of images' metadata, and their values, are called where people read them."""

from __future__ import annotations

ALL = "all together"  # every column of the shortcut audit

FEATURES = {
    "age": "Age",
    "view": "View",
    "laterality": "Side",
    "density": "Breast density",
    "scanner": "Scanner",
    "machine_id": "Scanner number",
    "device": "Device",
    "manufacturer": "Manufacturer",
    "vendor": "Vendor",
    "site": "Site",
    "site_id": "Site number",
    "implant": "Implant",
    "origin": "Origin of the image",
    "source": "Source",
    "height": "Image height",
    "width": "Image width",
    "bits": "Bits stored",
    "inverted": "Stored inverted",
    "burned_in": "Burned-in text or markers",
    "format": "File format",
    "folder": "Folder",
    "abnormality_type": "Abnormality",
    "lesion_type": "Lesion",
    "invasive": "Invasive",
    "images_of_patient": "Number of the patient's images",
    "sides_of_patient": "Number of the patient's sides",
    "birads": "BI-RADS",
    ALL: "All together",
}
# Units and abbreviations that a column's name has in small letters: "Kvp" and "Mas" would be none.
_ABBREVIATIONS = {"kvp": "kVp", "kv": "kV", "mas": "mAs", "ma": "mA", "id": "ID", "bmi": "BMI", "birads": "BI-RADS"}
_YES_NO = ("implant", "invasive", "inverted", "burned_in")


def feature_title(name: str) -> str:
    """A column's name as a person reads it; capitals inside it (kVp) stay as they are."""
    if name in FEATURES:
        return FEATURES[name]
    words = name.replace("_", " ").strip()
    if words != words.lower():
        return words
    return " ".join(_ABBREVIATIONS.get(word, word if place else word.capitalize()) for place, word in enumerate(words.split()))


def feature_words(name: str) -> str:
    """The same within a sentence: `breast density`, but `kVp`."""
    title = feature_title(name)
    first = title.split(" ")[0]
    return title if first[1:] != first[1:].lower() or first.isupper() else title[:1].lower() + title[1:]


def value_title(feature: str, value: str) -> str:
    """A value of a feature as a person reads it."""
    return {"0": "no", "1": "yes"}.get(value, value) if feature in _YES_NO else value
