"""Ensembles: the mean of several finished runs, made into a run of its own, which evaluates, predicts and explains as any
other.

Thresholds and calibration are chosen on out-of-fold scores: each image of validation is scored by the members that held it out.
The new run's manifest says which these are (column `out_of_fold`), and core.predict asks it, so that no page and no command
ever shows a score of an image by a model that was trained on it as if it were one of validation.
"""

from __future__ import annotations

import io
import itertools
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from core.config import Config
from core.data import write_manifest
from core.data.known_images import OUT_OF_FOLD
from core.data.manifest import is_synthetic
from core.errors import BadRun, NotEnoughData
from core.evaluate.fitted import fitted_predictions
from core.files.folders import write_text
from core.gate import Distance, MeanDistance, read_gate, write_gate
from core.metrics import freeze, rule_of
from core.metrics.chance import chance_of_scores
from core.metrics.leakage_mark import leakage_of_model
from core.metrics.levels import of_breasts
from core.metrics.operating_points import DECIMALS
from core.model import Classifier, load_model, save_model
from core.model.card import MOST_MEMBERS, WEIGHTS, Member, ModelCard, ValidationMetrics
from core.model.ensemble import Ensemble
from core.runs.drafts import DRAFT, fill, settle
from core.runs.event_log import EventLog
from core.runs.events import DoneEvent, StartEvent
from core.runs.folder import is_study, runs_root
from core.runs.names import clean_name
from core.runs.run import EVENTS, EXCLUDED, NOTE, PATCHES_BEFORE, STATUS, Run
from core.runs.split_origin import SplitOrigin, write_split_origin
from core.runs.status import Status, write_status
from core.runs.test_set.access_log import adopt, inherit
from core.studies.design import Cell, Design
from core.studies.misfits import misfits
from core.studies.study import Study
from core.training.validation import score_metrics
from core.wording import counted, listed

_NAMED = 5  # runs or settings that a message names
_COMPARED = ("label", "patient_id", "laterality", "view")  # of an image, in the members' manifests


def usual_cell(design: Design) -> int:
    """The number of the settings that an ensemble is made of unless others are named: the reference, or what a search found."""
    return 0 if design.search is None else design.cells[-1].number


def ensemble_of_study(study: Study, *, cell: int | None = None, name: str | None = None) -> Run:
    """The mean of all runs of one combination of settings, over all folds and repeats, as a run beside the study.

    Args:
        cell: its number; None for the reference, or for what a search found.
        name: of the new run; by default after the study.

    Raises:
        BadRun: there is no such combination; one of its runs is not finished, or not what the study asks for; as `ensemble_of`.
        LabError: as `ensemble_of`.
    """
    design = study.design()
    cells, cell = design.cells, usual_cell(design) if cell is None else cell
    if not 0 <= cell < len(cells):
        raise BadRun(f"{study.name}: expected the number of one of its {counted(len(cells), 'setting')}, got {cell + 1}")
    chosen = {job: run for job, run in study.runs.items() if job.cell.number == cell}
    states = {job.name: "not begun" if run is None else run.status().state for job, run in chosen.items()}
    waiting = [f"{run} ({state})" for run, state in states.items() if state != "done"]
    if waiting:
        needed = "the run" if len(chosen) == 1 else f"all {len(chosen)} runs"
        raise BadRun(
            f"{study.name}: an ensemble needs {needed} of {cells[cell].label}, and {len(waiting)} "
            f"{'is' if len(waiting) == 1 else 'are'} not finished: {_few(waiting)}. Train them: study run {study.name}"
        )
    if wrong := misfits(study, {job: run for job, run in chosen.items() if run is not None}, study.manifest()):
        raise BadRun(wrong[0])
    runs = [run for run in chosen.values() if run is not None]
    return ensemble_of(runs, root=study.path.parent, name=name, stem=_stem(study, cells, cell), study=study.name)


def ensemble_of(
    runs: Sequence[Run], *, root: Path | str, name: str | None = None, stem: str = "ensemble", study: str = ""
) -> Run:
    """The mean of these finished runs as a new run, in state "done", in the folder of runs `root`.

    They have to score the same images in the same way: one recipe, one number of views, and manifests with the same images, the
    same of which are the test split. How the other images are split between training and validation may differ. Its folder has
    the members' weights; the runs may be renamed or deleted afterwards.

    Args:
        name: of the new run; None for the first free one of `stem`, `stem`-2, ...
        study: the one that they are of.

    Raises:
        BadRun: a run is not finished, has no complete model, or does not fit the others; the name is taken or impossible; the
            folder cannot be written to.
        RecipeMismatch: they were trained on images that an earlier version prepared.
        BadManifest: the manifest of a run is damaged.
        NotEnoughData: their out-of-fold scores are of one class only.
        NotRecorded: what their test images were used for cannot be written into its folder.
    """
    folder = runs_root(Path(root).absolute())
    names = iter([clean_name(name)]) if name else _names(stem)
    members = [_Member.of(run) for run in runs]
    _require_alike(members)
    rows = _common_rows(members)
    table = _out_of_fold(members, rows)
    config = members[0].config.model_copy(update={"checkpoints": folder})
    draft = folder / f"{DRAFT}{uuid.uuid4().hex[:12]}"
    try:
        draft.mkdir(parents=True)
        fill(draft, config, rows)
        _write_records(draft, members, rows, folder, study)
        model = Ensemble([each.model for each in members])
        card = save_model(draft, model, _card(members, rows, table, config, study))
        gates = [each.gate for each in members if isinstance(each.gate, Distance)]
        if len(gates) == len(members):
            write_gate(draft, MeanDistance.of(gates), card)
        _write_table(draft / "predictions" / "val.csv", table)
        now = time.time()
        with EventLog(draft / EVENTS) as log:
            images = {split: int((rows["split"] == split).sum()) for split in ("train", "val", "test")}
            log.append(StartEvent(type="start", run=name or stem, parameters=model.parameter_count, images=images))
            log.append(
                DoneEvent(type="done", state="done", reason=f"the mean of {len(members)} runs", threshold=card.threshold)
            )
        write_status(draft / STATUS, Status(state="done", created=now, started=now, finished=now))
        return Run(settle(draft, names))
    except OSError as error:
        raise BadRun(
            f"{folder}: the ensemble's folder cannot be made ({error.strerror or error}). Set checkpoints to a folder that can "
            "be written to, or free some space."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@dataclass(frozen=True)
class _Member:
    """A finished run, with everything of it that the ensemble is made from."""

    run: Run
    config: Config
    model: Classifier
    card: ModelCard
    rows: pd.DataFrame
    scores: pd.DataFrame
    gate: Distance | str

    @classmethod
    def of(cls, run: Run) -> _Member:
        """Raises BadRun, RecipeMismatch or BadManifest where it is not complete."""
        run.require_regular()
        state = run.status().state
        if state != "done":
            raise BadRun(f"{run.name}: expected a finished run, and it is {state}. Let its training end first.")
        model, card = load_model(run.path)
        if card.members is not None:
            raise BadRun(f"{run.name}: it is an ensemble itself. Give the runs that it is the mean of: {_few(_runs_of(card))}.")
        if leak := leakage_of_model(card):
            raise BadRun(
                f"{run.name}: its training was allowed although its splits leak ({leak}): its validation scores cannot choose "
                "the threshold of an ensemble. Repair the split (`python -m core data repair`), and train again."
            )
        card.same_recipe(run.name)
        gate = read_gate(run.path, card)
        return cls(run, run.config(), model, card, run.manifest(), fitted_predictions(run, card), gate)


def _runs_of(card: ModelCard) -> list[str]:
    return [each.run for each in card.members or ()]


def _few(names: Sequence[str]) -> str:
    return listed([*names[:_NAMED], f"{len(names) - _NAMED} more"]) if len(names) > _NAMED else listed(list(names))


def _stem(study: Study, cells: Sequence[Cell], cell: int) -> str:
    slug = f"-{cells[cell].slug}" if len(cells) > 1 else ""
    return clean_name(f"{study.name}{slug}-ensemble")


def _names(stem: str) -> Iterator[str]:
    return itertools.chain([clean_name(stem)], (clean_name(f"{stem}-{number}") for number in itertools.count(2)))


# ---------------------------------------------------------------- whether the runs fit one another


def _require_alike(members: Sequence[_Member]) -> None:
    """Raises BadRun where they are too few or too many, or do not score the same thing in the same way."""
    if not 2 <= len(members) <= MOST_MEMBERS:
        raise BadRun(f"expected 2 to {MOST_MEMBERS} runs for an ensemble, got {len(members)}")
    first = members[0]
    known: dict[str, str] = {}
    for each in members:
        twin = known.setdefault(each.card.weights_sha256, each.run.name)
        if twin != each.run.name or [other.run for other in members].count(each.run) > 1:
            raise BadRun(f"{twin} and {each.run.name} are the same model: it would count twice. Give each once.")
        if each.card.recipe_hash != first.card.recipe_hash:
            raise BadRun(
                f"{first.run.name} and {each.run.name} prepare images differently ({_recipe_differences(first, each)}): a "
                "model has one recipe. Give runs of the same one."
            )
        if each.card.scored != first.card.scored:
            units = [f"{one.run.name} scores {'breasts' if one.card.scored == 'breast' else 'images'}" for one in (first, each)]
            raise BadRun(f"{listed(units)} (model.views): there is no mean of these. Give runs that score the same.")


def _recipe_differences(one: _Member, other: _Member) -> str:
    pair = [member.card.known_recipe().model_dump(mode="json") for member in (one, other)]
    found = [f"{name}: {pair[0][name]} and {pair[1].get(name)}" for name in pair[0] if pair[0][name] != pair[1].get(name)]
    return "; ".join(found[:_NAMED]) or "another version of MammoLab"


# ---------------------------------------------------------------- rows, and who scores which of them


def _common_rows(members: Sequence[_Member]) -> pd.DataFrame:
    """The rows of all manifests, with the split of the ensemble and, in OUT_OF_FOLD, who held an image out.

    An image that a member held out is of validation, one that all trained on of training.
    """
    first = members[0].rows
    paths = first["path"].astype("str").tolist()
    columns = []
    for each in members:
        rows = each.rows.set_index(pd.Index(each.rows["path"].astype("str")))
        apart = sorted(set(rows.index) ^ set(paths))
        if apart or len(rows) != len(paths):
            example = f", for example {apart[0]}" if apart else ""
            raise BadRun(
                f"{members[0].run.name} and {each.run.name} have different images in their manifests "
                f"({counted(len(apart), 'image')} in one of them only{example}): of these nobody knows whether a model was "
                "trained on the patient. Give runs of the same data set."
            )
        rows = rows.loc[paths]
        _require_same_images(members[0], each, first, rows)
        columns.append(rows["split"].astype("str").to_numpy())
    splits = np.stack(columns, axis=1)
    _require_one_test_split(members, splits, paths)
    held_out, known = splits == "val", np.isin(splits, ("train", "val"))
    if not held_out.any():
        raise BadRun("no image is of validation in any of the runs: a threshold cannot be chosen")
    split = np.where(splits[:, 0] == "test", "test", np.where(held_out.any(axis=1), "val", "train"))
    split = np.where((splits[:, 0] != "test") & ~known.all(axis=1), "", split)  # of rows that took no part in a training
    judges = [" ".join(str(number + 1) for number in row.nonzero()[0]) for row in held_out]
    own = {"split": split, OUT_OF_FOLD: judges}
    return first.assign(**{name: pd.Series(values, index=first.index, dtype="str") for name, values in own.items()})


def _require_one_test_split(members: Sequence[_Member], splits: NDArray[Any], paths: Sequence[str]) -> None:
    """Raises BadRun unless the same images are of test in all manifests; `splits` (images, members)."""
    test = splits == "test"
    torn = test.any(axis=1) & ~test.all(axis=1)
    if torn.any():
        place, count = int(torn.argmax()), int(torn.sum())
        holder, other = members[int(test[place].argmax())].run.name, members[int(test[place].argmin())].run.name
        raise BadRun(
            f"the runs have different test splits: {counted(count, 'image')}, for example {paths[place]}, "
            f"{'is a test image' if count == 1 else 'are test images'} of {holder} and not of {other}, which may have learned "
            f"from {'it' if count == 1 else 'them'}. Give runs with the same test split."
        )


def _require_same_images(one: _Member, other: _Member, first: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Raises BadRun where the manifests say different things of an image, or it was another file."""
    names = [name for name in (*_COMPARED, "content_hash") if name in first.columns and name in rows.columns]
    for name in names:
        pair = first[name].astype("str").to_numpy(), rows[name].astype("str").to_numpy()
        differs = pair[0] != pair[1]
        if name == "content_hash":
            differs &= (pair[0] != "") & (pair[1] != "")
        if differs.any():
            place = int(differs.argmax())
            raise BadRun(
                f"{one.run.name} and {other.run.name} differ in the {name} of {counted(int(differs.sum()), 'image')}, for "
                f"example {first['path'].iloc[place]} ({pair[0][place][:40]!r}, {pair[1][place][:40]!r}). Give runs of one set."
            )


def _out_of_fold(members: Sequence[_Member], rows: pd.DataFrame) -> pd.DataFrame:
    """The validation scores of the ensemble, as predictions/val.csv has them: the mean of those of the members that held an
    image, or a breast, out.

    Raises BadRun where a member that held it out has no score of it, and another one has.
    """
    tables = [each.scores for each in members]
    if len({of_breasts(table) for table in tables}) > 1:
        raise BadRun("some of the runs have validation scores of breasts and others of images. Evaluate them on val again.")
    every = pd.concat(tables, ignore_index=True)
    judges = dict(zip(rows["path"].astype("str"), rows[OUT_OF_FOLD].astype("str"), strict=True))
    paths = every["path"].astype("str")
    wanted = paths.map(lambda path: len(judges.get(path, "").split()))
    found = paths.map(paths.value_counts())
    if (wanted != found).any():
        place = int((wanted != found).to_numpy().argmax())
        raise BadRun(
            f"{paths.iloc[place]}: {counted(int(wanted.iloc[place]), 'run')} held it out, and {found.iloc[place]} "
            "have a validation score of it. Evaluate the runs on val (`python -m core evaluate RUN --split val`)"
        )
    columns = [name for name in members[0].scores.columns if name not in ("score", "calibrated")]
    means = every.groupby("path", sort=False)["score"].mean().round(DECIMALS)
    table = every.drop_duplicates("path", ignore_index=True)[columns]
    table = table.assign(split="val", score=table["path"].map(means).astype("float64"))
    if table["label"].nunique() < 2:
        raise NotEnoughData(
            f"the out-of-fold scores are of {listed(sorted(set(table['label'])))} images only: no threshold can be chosen"
        )
    return table


# ---------------------------------------------------------------- what is written


def _card(members: Sequence[_Member], rows: pd.DataFrame, table: pd.DataFrame, config: Config, study: str) -> ModelCard:
    first = members[0].card
    labels = (table["label"] == "malignant").to_numpy().astype("float64")
    scores = table["score"].to_numpy()
    frozen = freeze(table, rule_of(config.evaluation), config.evaluation.calibration)
    return ModelCard(
        recipe=first.recipe,
        recipe_hash=first.recipe_hash,
        model=first.model,
        members=tuple(
            Member(
                run=each.run.name,
                study=study or (each.run.path.parent.name if is_study(each.run.path.parent) else ""),
                epoch=each.card.best_epoch,
                weights_sha256=each.card.weights_sha256,
                model=each.card.model,
            )
            for each in members
        ),
        validation=ValidationMetrics(**score_metrics(labels, scores)),
        synthetic=any(each.card.synthetic for each in members) or is_synthetic(rows),
        **dict(frozen)
        | {
            "chance": chance_of_scores(table["label"], table["score"], table["patient_id"]),
            "leakage": "",
        },
    )


def _write_records(draft: Path, members: Sequence[_Member], rows: pd.DataFrame, root: Path, study: str) -> None:
    """What the run's folder says of where it comes from, of images left out, and of accesses to its test set."""
    whose = f"the folds of the study {study}" if study else "the splits of the runs that it is the mean of"
    origin = f"by {whose}: each image of validation is scored by the models that held it out"
    write_split_origin(draft, SplitOrigin("given", origin[:300]))
    adopt(draft, root)
    for each in members:
        inherit(draft, each.run.path)
    seen = [found for each in members if (found := each.run.patches_seen()) is not None]
    if seen:
        patches = pd.concat(seen, ignore_index=True).fillna("").drop_duplicates("path", ignore_index=True)
        write_manifest(patches, draft / PATCHES_BEFORE)
    left_out: dict[str, str] = {}
    for each in members:
        left_out |= each.run.excluded()
    if left_out:
        _write_table(draft / EXCLUDED, pd.DataFrame({"path": list(left_out), "reason": list(left_out.values())}))
    names = [f"{study}/{each.run.name}" if study else each.run.name for each in members]
    write_text(draft / NOTE, f"The mean of {len(names)} runs: {', '.join(names)}."[:5_000] + "\n")


def _write_table(path: Path, table: pd.DataFrame) -> None:
    stream = io.StringIO()
    table.to_csv(stream, index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    path.parent.mkdir(exist_ok=True)
    write_text(path, stream.getvalue())


@dataclass(frozen=True)
class Costs:
    """What a model takes here: networks, `parameters`, `size` of its weights in bytes, and milliseconds for the score of one
    prepared image on the processor, by all of it and by its first network alone."""

    members: int
    parameters: int
    size: int
    milliseconds: float
    single: float

    @property
    def words(self) -> str:
        """In a line."""
        return (
            f"{counted(self.members, 'network')}, {self.parameters / 1e6:.2f} M parameters, {self.size / 1e6:.1f} MB; an image "
            f"takes {self.milliseconds:.1f} ms on this processor, {self.single:.1f} ms with one of them"
        )


def costs_of(run: Run, repeats: int = 3) -> Costs:
    """What the run's model takes on this machine, measured with an empty image of its size.

    Raises:
        BadRun: the run has no complete model.
    """
    model, card = load_model(run.path)
    image = torch.zeros(1, 1, *card.known_recipe(run.name).shape)
    networks = model.networks if isinstance(model, Ensemble) else [model]
    milliseconds = []
    for each in (model, networks[0]):
        took = []
        for _ in range(repeats + 1):  # the first prepares what later ones reuse
            began = time.perf_counter()
            with torch.inference_mode():
                each(image)
            took.append(time.perf_counter() - began)
        milliseconds.append(min(took[1:]) * 1000)
    return Costs(len(networks), model.parameter_count, (run.path / WEIGHTS).stat().st_size, *milliseconds)
