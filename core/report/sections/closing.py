"""Model card, reproducibility and the appendices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core import __version__
from core.config import NAMED_WEIGHTS, Config
from core.data import SPLITS
from core.evaluate.external import title_of
from core.metrics.features import feature_title
from core.model.store import what_is_hashed
from core.report.document import Facts, Points, Section, Table, Text
from core.report.material import SPLIT_WORDS, Material, sha256_of, split_fingerprint
from core.report.sections import external
from core.report.sections.discussion import limits
from core.report.words import DASH, counts_of, share, size_of, starting_weights, stated
from core.runs.test_set.external import short_name
from core.wording import counted, setting


def model_card(material: Material) -> Section:
    """The model card's nine headings, short, with where to read more."""
    rows, shown = material.rows, material.shown
    groups = sorted({feature_title(row.feature) for row in shown.subgroups}) if shown else []
    auc = shown.summary["auc"] if shown else None
    quantitative = f"{SPLIT_WORDS[shown.split]} images: ROC AUC {stated(auc)}" if shown else "not evaluated yet"
    started = starting_weights(material)
    tested = external.current(material)
    sources = [f"external: {title_of(each)}, {external.about_of(each).source_words}" for each in tested]
    aucs = [f"external {short_name(each.split)}: ROC AUC {stated(each.summary['auc'])}" for each in tested]
    facts = (
        (
            "Model details",
            f"{material.architecture}, {started}; written {material.card.created or DASH}; "
            f"weights `{material.card.weights_sha256[:16]}`",
        ),
        (
            "Intended use",
            "research on methods, by researchers. Out of scope: diagnosis, screening, triage, any decision "
            "about a patient, images of other kinds than mammograms",
        ),
        ("Factors", f"{', '.join(groups) or 'none known'}; instrumentation as far as the manifest or the files tell"),
        (
            "Metrics",
            "ROC AUC, sensitivity and specificity at a threshold frozen on validation, Brier score, ECE; intervals "
            f"{'count patients' if material.patients_known else 'take each image for a person of its own'}",
        ),
        ("Evaluation data", "; ".join((_evaluated(material), *sources))),
        ("Training data", f"{_count(material, 'train')}; validation: {_count(material, 'val')}"),
        ("Quantitative analyses", "; ".join((quantitative, *aucs))),
        (
            "Ethical considerations",
            "scores may differ between groups (see subgroups) and rest on shortcuts (see shortcut audit); images and "
            "identifiers stay with those who hold them: the model holds weights, this report names nobody",
        ),
        (
            "Caveats and recommendations",
            f"{limits(material)[0]} See limitations."
            + ("" if tested else " Evaluate on images of another source before anything else."),
        ),
    )
    text = Text("In the headings of Mitchell et al. (2019).")
    return Section(
        "model-card", "Model card", (text, Facts(tuple((name, value) for name, value in facts if value and len(rows))))
    )


def _evaluated(material: Material) -> str:
    """The test images that were scored, and of how many in the manifest; only the latter before an evaluation."""
    if material.test is None:
        return f"{_count(material, 'test')}; not evaluated yet"
    whole = int((material.rows["split"] == "test").sum())
    scored = counts_of(material.test.summary, material.patients_known)
    return scored if material.test.images == whole else f"{scored}; the test set has {counted(whole, 'image')}"


def _count(material: Material, split: str) -> str:
    part = material.rows[material.rows["split"] == split]
    return (
        f"{size_of(len(part), part['patient_id'].nunique(), material.patients_known)}, "
        f"{share(int((part['label'] == 'malignant').sum()), len(part))} malignant"
    )


def reproducibility(material: Material) -> Section:
    """Hashes, versions and how to make it again."""
    card, folder = material.card, material.run.path
    digest = card.weights_sha256
    hashed = what_is_hashed(folder, digest)
    weights = folder / "model.safetensors"
    file_digest = sha256_of(weights) if weights.is_file() and "whole file" not in hashed else ""
    whose = "images, patients, labels" if material.patients_known else "images, labels"
    scored = {split: SPLIT_WORDS[split] for split in material.evaluations}
    scored |= {split: f"external test set {short_name(split)}" for split in material.externals}
    hashes = (
        (f"Weights, SHA-256 {hashed}", f"`{digest}`"),
        *((("Weights, SHA-256 of the file model.safetensors (sha256sum)", f"`{file_digest}`"),) if file_digest else ()),
        ("Manifest of the run, SHA-256 over manifest.csv", f"`{sha256_of(folder / 'manifest.csv')}`"),
        ("Configuration of the run, SHA-256 over config.yaml", f"`{sha256_of(folder / 'config.yaml')}`"),
        *(
            (f"Predictions, {words}, SHA-256 over {split}.csv", f"`{sha256_of(folder / 'predictions' / f'{split}.csv')}`")
            for split, words in scored.items()
        ),
        *(
            (f"Fingerprint of the external test set {short_name(split)}: images, patients, labels", f"`{about.content}`")
            for split, found in material.externals.items()
            if (about := found.external) is not None
        ),
        *(
            (f"Fingerprint of the {SPLIT_WORDS[split]} set: {whose}", f"`{split_fingerprint(material.rows, split)}`")
            for split in SPLITS
        ),
        ("Recipe", f"`{card.recipe_hash or DASH}`"),
    )
    software = (("MammoLab", f"{__version__} (this report)"), *sorted(card.versions.items()))
    text = (
        "The model is specified by its weights (model.safetensors) and its card (model.json: architecture, recipe, "
        f"normalisation, threshold, calibration). {material.command('evaluate {run} --split test')} scores the "
        "same files again, which counts as an access to the test set; with `--remake` it makes the metrics again from the "
        "stored scores, without one. A hash over the tensors takes the name, type, shape and values of each, by name: equal "
        "weights have equal hashes, whatever else is in the file. The same run gives this report again, byte by byte. Versions "
        "are those that trained the model."
    )
    return Section("reproducibility", "Model specification and reproducibility", (Text(text), Facts(hashes), Facts(software)))


def configuration(material: Material) -> Section:
    """Every setting of the run, those that are not the default marked."""
    return settings_of(material.config, "Configuration of the run, nothing left to defaults.")


def settings_of(config: Config, caption: str) -> Section:
    """Every setting of a configuration, those that are not the default marked."""
    rows: list[tuple[str, ...]] = []
    marked = set()
    for name, value, default in _settings(config, Config()):
        if value != default:
            marked.add(len(rows))
        rows.append((name, value, default if value != default else ""))
    note = "Marked: differs from the default. Of paths only the last part is shown."
    head, words = ("Setting", "Value", "Default, where it differs"), frozenset({1, 2})
    table = Table(caption, head, tuple(rows), note=note, marked=frozenset(marked), words=words, small=True)
    return Section("appendix-configuration", "Configuration", (table,))


def _settings(ours: BaseModel, defaults: BaseModel, prefix: str = "") -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for name in type(ours).model_fields:
        value, default = getattr(ours, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            found += _settings(value, default, f"{prefix}{name}.")
        else:
            found.append((prefix + name, _shown(prefix + name, value), _shown(prefix + name, default)))
    return found


def _shown(name: str, value: Any) -> str:
    """A setting as text; a path by its last part, since the others are of somebody's machine."""
    if isinstance(value, Path):
        return value.name
    if name == "model.weights" and str(value) not in NAMED_WEIGHTS:
        return Path(str(value).replace("\\", "/")).name
    return setting(value)


def references() -> Section:
    """Where the methods come from: references.txt, one a line."""
    found = Path(__file__).parents[1] / "references.txt"
    return Section("appendix-references", "References", (Points(tuple(found.read_text(encoding="utf-8").splitlines())),))
