"""What a study asks, and the data that it asks it of. Part of the Studies page."""

from __future__ import annotations

import streamlit as st

from core.studies import Study
from core.wording import counted, plain
from dashboard.ui import components, html_tables
from dashboard.views.studies import plan, search


def shown(study: Study) -> None:
    """What the study asks, and the data that it asks it of."""
    design, manifest = study.design(), study.manifest()
    folds = manifest["fold_1"].astype("int64")
    rows = []
    for fold in sorted(set(folds) - {-1}):
        part = manifest[folds == fold]
        malignant = int((part["label"] == "malignant").sum())
        rows.append((str(fold + 1), f"{part['patient_id'].nunique():,}", f"{len(part):,}", f"{malignant:,}"))
    names = [f"{plain(name)}: {', '.join(plain(str(value)) for value in values)}" for name, values in design.factors.items()]
    if design.search is not None:
        search.described(design.search)
    else:
        st.markdown("\n".join(f"- {each}" for each in names) or "A cross-validation: nothing is compared.")
    test = int((folds == -1).sum())
    st.caption(
        f"{design.folds} folds, {counted(design.repeats, 'repeat')}. "
        + (f"{counted(test, 'image')} of the test split take no part." if test else "The data set has no test split.")
    )
    html_tables.table(["Fold", "Patients", "Images", "Malignant images"], rows)
    if planned := study.plan().get("choices"):
        st.markdown("##### Why it is planned so")
        plan.choices(planned)
    components.download("study.yaml", (study.path / "study.yaml").read_bytes(), "study.yaml", "text/yaml", key="studies:yaml")
