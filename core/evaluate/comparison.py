"""Two runs on the same images: who is better, by how much, and whether the comparison is fair at all.

Images are matched by their path; where one of the models judges breasts, breasts by patient and side. A run that was trained or
tuned on patients, or on identical files, that the other is tested on is not compared with it, even on the images that both have
left: their test metrics stand for different questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from core.errors import BadRun, Leakage, NotEnoughData
from core.evaluate.result import Evaluation
from core.evaluate.store import evaluate_command, read_evaluation
from core.files.typed import to_plain
from core.metrics import TITLES, Difference, Level, PairedShares, RunComparison, Summary, at_level, compare_runs, matched
from core.metrics.comparison import equivalence
from core.metrics.headline_auc import score_rule
from core.metrics.intervals import OrNote
from core.metrics.leakage_mark import leakage_of_model, leakage_warning_of
from core.metrics.levels import UNITS
from core.metrics.subgroups import holm
from core.model.card import has_model, read_card
from core.wording import counted, p_value

if TYPE_CHECKING:
    from core.runs import Run

_LISTED = 5


@dataclass(frozen=True)
class Comparison:
    """Two runs on the `images` (or breasts, see `unit`) that both have scored; differences are the second run less the first.

    `statistics` has a paired test for each metric; `paired` the decisions on the same rows behind sensitivity, specificity and
    accuracy, each run at its own frozen threshold.
    `rule` is how one score of a breast or patient is made of several images, "" for images.
    `by_view` are both runs' thresholds of images in words, "" for a run with one threshold for all views.
    `only_first` and `only_second` images were not compared. `warnings` name a run whose model or threshold has changed since
    it was evaluated.
    """

    first: str
    second: str
    split: str
    level: Level
    images: int
    only_first: int
    only_second: int
    thresholds: tuple[float, float]
    statistics: RunComparison
    paired: dict[str, Annotated[PairedShares | str, OrNote()]]
    warnings: tuple[str, ...] = ()
    by_view: Annotated[tuple[str, str], Field(alias="thresholds_by_view")] = ("", "")
    rule: Annotated[str, Field(alias="score_rule")] = ""
    unit: Literal["image", "breast"] = "image"

    @property
    def matching(self) -> str:
        """How many images, or breasts, were matched, in words."""
        rest = [f"{count:,} only in {name}" for count, name in self._rest() if count]
        return f"{counted(self.images, self.unit)} in both" + (f" ({', '.join(rest)}: left out)" if rest else "")

    def _rest(self) -> tuple[tuple[int, str], ...]:
        return (self.only_first, self.first), (self.only_second, self.second)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own: dict[str, Any] = to_plain(self)
        statistics: dict[str, Any] = own.pop("statistics")
        return own | statistics

    def table_rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """(title, first, second, difference with interval, p, test) as text, a row a metric."""
        return [_row(title, self.statistics.metrics[name]) for name, title in TITLES.items()]

    def equivalence(self, margin: float, metric: str = "auc") -> str:
        """In words, whether the runs differ in a metric by no more than `margin`, which has to be chosen before looking."""
        found = self.statistics.metrics[metric]
        if isinstance(found, str):
            return found
        words = {
            "equivalent": f"the runs are equivalent: the whole {self.statistics.confidence:.0%} interval lies within "
            f"±{margin:g}",
            "different": f"the runs differ: the {self.statistics.confidence:.0%} interval leaves out 0",
            "not shown": f"neither a difference nor equivalence within ±{margin:g} is shown",
        }[equivalence(found.difference, margin)]
        return f"{TITLES[metric]}, difference {found.difference:+.3f}: {words}"


def _row(title: str, metric: Difference | str) -> tuple[str, str, str, str, str, str]:
    if isinstance(metric, str):
        return (title, "–", "–", "", "", metric)
    return (title, f"{metric.first:.3f}", f"{metric.second:.3f}", f"{metric.difference:+.3f}", p_value(metric.p), metric.test)


def adjusted_p(comparisons: Sequence[Comparison], metric: str = "auc") -> list[float | None]:
    """Holm's adjusted p values of one metric (a key of TITLES) over several comparisons with the same first run.

    The best of many runs looks better than it is: with each test at 0.05, at least one of ten equal runs seems to differ in up
    to 40 % of studies. Adjusted, in at most 5 % whatever their number. Intervals are not adjusted. None: no test.
    """
    found = [each.statistics.metrics[metric] for each in comparisons]
    tested = [each.p for each in found if isinstance(each, Difference)]
    values = iter(holm(tested).tolist())
    return [next(values) if isinstance(each, Difference) else None for each in found]


def compare(first: Run, second: Run, split: str = "test", level: Level | None = None) -> Comparison:
    """Compare what two runs' evaluations of a split have stored; nothing is scored and no test set accessed.

    `level` None: images, or breasts where one of the models judges these.

    Raises:
        BadRun: both are the same run, or one of them has not been evaluated on this split.
        Leakage, NotEnoughData: as `compare_evaluations`.
    """

    if first.path.resolve() == second.path.resolve():
        raise BadRun(
            f"Expected two runs to compare, got {first.name} twice: a run does not differ from itself. Name another run that "
            "was evaluated on the same images."
        )

    def stored(run: Run) -> Evaluation:
        evaluation = read_evaluation(run, split)
        if evaluation is None:
            raise BadRun(f"{run.name}: not evaluated yet. First: {evaluate_command(run, split)}")
        return evaluation

    return compare_evaluations(stored(first), stored(second), level)


def compare_evaluations(
    first: Evaluation,
    second: Evaluation,
    level: Level | None = None,
) -> Comparison:
    """Compare two evaluations on what both have, with intervals as in the first one: images, by their path; or breasts, by
    patient and side, where one of the models judges these (then also the level, where none is named).

    Raises:
        Leakage: one run was trained on patients, or on files, that the other is tested on.
        NotEnoughData: no image in common, other labels or patients at the same image, or no metrics at this level.
        BadRun: a run's manifest cannot be read.
    """
    pair = (first, second)
    unit: Literal["image", "breast"] = "image" if all(each.level == "image" for each in pair) else "breast"
    level = level or unit
    summaries = [_summary(evaluation, level) for evaluation in pair]
    _require_fair(first, second)
    table, other, both = _on_breasts(first, second, level) if unit == "breast" else _on_images(first, second, level)
    labels, groups = (table["label"] == "malignant").to_numpy(), table["patient_id"].to_numpy()
    thresholds = (summaries[0].threshold, summaries[1].threshold)
    by_image = level == "image"
    applied = [each.thresholds.of_rows(table) if by_image else each.levels[level].threshold for each in (first, second)]  # type: ignore[union-attr]
    statistics = compare_runs(
        labels,
        table["score"],
        other["score"],
        groups,
        (applied[0], applied[1]),
        samples=summaries[0].samples,
        confidence=summaries[0].confidence,
    )
    return Comparison(
        first=first.run,
        second=second.run,
        split=first.split,
        level=level,
        images=both,
        only_first=_units(first, unit) - both,
        only_second=_units(second, unit) - both,
        thresholds=thresholds,
        statistics=statistics,
        paired=statistics.paired,
        warnings=tuple(filter(None, (_levels_differ(*summaries), *map(_outdated, pair), *map(_leaks, pair)))),
        by_view=(first.thresholds.words, second.thresholds.words) if by_image else ("", ""),
        rule=_rule(first, second, table, level),
        unit=unit,
    )


def _on_images(first: Evaluation, second: Evaluation, level: Level) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Both runs' scores at this level, of the images that both have, and how many these are."""
    both, _ = matched(first.predictions, second.predictions)
    return at_level(both, level), at_level(both.assign(score=both["other"]), level), len(both)


def _on_breasts(first: Evaluation, second: Evaluation, level: Level) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Both runs' scores at this level, of the breasts that both have, each as that run makes them; and how many breasts."""
    frames = [each.predictions for each in (first, second)]
    keys = [frame["patient_id"].astype("str") + "\0" + frame["laterality"].astype("str") for frame in frames]
    common = set(keys[0]) & set(keys[1])
    if not common:
        raise NotEnoughData("The two runs have no breast in common: compare runs that were evaluated on the same split.")
    table, other = (at_level(frame[key.isin(common)], level) for frame, key in zip(frames, keys, strict=True))
    names = ["patient_id", "laterality"]
    if len(table) != len(other) or not table[names].equals(other[names]):
        raise NotEnoughData(
            "The two runs' breasts cannot be matched: for some images the manifest does not say which side they show. Fill its "
            "column laterality, or compare at the patient level."
        )
    differ = (table["label"] != other["label"]).to_numpy()
    if differ.any():
        raise NotEnoughData(
            f"The two runs disagree on the label of {int(differ.sum())} of {len(table)} {UNITS[level]}, for example of patient "
            f"{table.loc[differ, 'patient_id'].iloc[0]}. Their manifests are not of the same data."
        )
    return table, other, len(common)


def _units(evaluation: Evaluation, unit: Literal["image", "breast"]) -> int:
    """How many images or breasts an evaluation has."""
    frame = evaluation.predictions
    return len(frame) if unit == "image" else len(frame[["patient_id", "laterality"]].drop_duplicates())


def _rule(first: Evaluation, second: Evaluation, table: pd.DataFrame, level: Level) -> str:
    """How one score of a breast or patient is made, in words; "" for images."""
    if level == "image":
        return ""
    if first.level == second.level == "image":
        return score_rule(table["images"], level)
    made = {"image": "the mean of image scores", "breast": "the model's own score of a breast"}
    if level == "patient":
        made["breast"] = "the mean of the model's scores of breasts"
    if first.level == second.level:
        return made[first.level]
    return f"{first.run}: {made[first.level]}; {second.run}: {made[second.level]}"


def _levels_differ(first: Summary, second: Summary) -> str:
    """In words, that the two evaluations have intervals of other levels of confidence; "" where they have the same."""
    if first.confidence == second.confidence:
        return ""
    levels = f"{first.confidence:.0%} and {second.confidence:.0%}"
    return f"the evaluations have intervals of {levels}: all of this comparison are of {first.confidence:.0%}"


def _outdated(evaluation: Evaluation) -> str:
    """In words, that the run's model is no longer the one that was evaluated; "" when it is, or when no folder says so."""
    if evaluation.folder is None or not has_model(evaluation.folder):
        return ""
    why = evaluation.outdated(read_card(evaluation.folder))
    again = evaluate_command(evaluation.run, evaluation.split)
    return f"{evaluation.run}: {why} For metrics of the model as it is: {again}." if why else ""


def _leaks(evaluation: Evaluation) -> str:
    """The mark of a run whose splits leak; "" for none."""
    if evaluation.folder is None or not has_model(evaluation.folder):
        return ""
    warning = leakage_warning_of(leakage_of_model(read_card(evaluation.folder)))
    return f"{evaluation.run}: {warning}" if warning else ""


def _summary(evaluation: Evaluation, level: Level) -> Summary:
    summary = evaluation.levels[level]
    if isinstance(summary, str):
        raise NotEnoughData(f"{evaluation.run}, {level} level: {summary}")
    return summary


def _require_fair(first: Evaluation, second: Evaluation) -> None:
    """Raises Leakage when one run has seen, in training or validation, patients or files that the other is tested on."""
    if first.split != second.split:
        raise NotEnoughData(f"Expected two evaluations of the same split, got {first.split} and {second.split}.")
    if first.external is not None and second.external is not None:  # each has left out its own patients
        if first.external.content != second.external.content:
            raise NotEnoughData(
                f"{first.split} is not the same set for both runs: {first.external.size_words} for {first.run}, "
                f"{second.external.size_words} for {second.run}, with other images, patients or labels. Evaluate both on one "
                "manifest."
            )
        return
    for learner, tested in ((first, second), (second, first)):
        seen, tests = _manifest(learner.folder), _manifest(tested.folder)
        if seen.empty or tests.empty:
            continue
        seen = seen[seen["split"].isin({"train", "val"} - {learner.split})]
        tests = tests[tests["split"] == tested.split]
        patients = sorted(set(tests["patient_id"]) & set(seen["patient_id"]))
        files = len(_hashes(tests) & _hashes(seen))
        if patients or files:
            named = ", ".join(patients[:_LISTED]) + (" ..." if len(patients) > _LISTED else "")
            of_patients, of_files = tests["patient_id"].nunique(), len(tests)
            raise Leakage(
                f"{learner.run} was trained or tuned on {len(patients)} of the {of_patients} patients and {files} of the "
                f"{of_files} files on which {tested.run} is tested{f' ({named})' if named else ''}: the two were not asked "
                "the same question. Compare runs that share their split."
            )


def _hashes(rows: pd.DataFrame) -> set[str]:
    return set(rows["content_hash"]) - {""} if "content_hash" in rows.columns else set()


def _manifest(folder: Path | None) -> pd.DataFrame:
    """The run's manifest; none where the evaluation was not read from a folder."""
    from core.runs.run import Run

    return pd.DataFrame() if folder is None else Run(folder).manifest()
