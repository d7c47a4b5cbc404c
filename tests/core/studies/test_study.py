"""A small study that is really trained: two folds, with and without CLAHE."""

from __future__ import annotations

import os
import platform
import re
import shutil
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from builders.lab_pages import wait_until
from builders.toy_training import draw_frame, toy_config
from sklearn.metrics import roc_auc_score

from core.data import write_manifest
from core.errors import BadConfig, BadManifest, BadRun, MissingWeights
from core.evaluate import evaluate
from core.evaluate.store import read_predictions
from core.metrics.intervals import Interval
from core.runs import Run
from core.runs.folder import runs_root
from core.runs.test_set.identity import run_folders
from core.studies import Design, Study, active_workers, list_studies, results_of, start_process, work
from core.studies.attempts import attempt
from core.studies.ensemble import ensemble_of_study
from core.studies.removal import delete_study
from core.studies.report import study_report

DESIGN = Design(question="Does it help?", folds=2, factors={"training.learning_rate": [0.01, 0.0001]})
SETTINGS = {"training__epochs": 1, "evaluation__bootstrap_samples": 100}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return draw_frame(tmp_path_factory.mktemp("study") / "images")


def make(root: Path, images: pd.DataFrame, design: Design = DESIGN, **settings: Any) -> Study:
    return Study.create("lr", design, toy_config(root / "runs", **SETTINGS | settings), images)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, images: pd.DataFrame) -> Study:
    study = make(tmp_path_factory.mktemp("finished"), images)
    outcome = work(study, queue=False)
    assert len(outcome.trained) == 4 and not outcome.failed and not outcome.stopped
    return study


@pytest.fixture
def trained(finished: Study, tmp_path: Path) -> Study:
    """A copy, to be changed."""
    shutil.copytree(finished.path, tmp_path / "runs" / "lr")
    return Study.open(tmp_path / "runs" / "lr")


def test_what_no_training_could_read_stands_with_the_results(trained: Study) -> None:
    assert not any("excluded.csv" in each for each in results_of(trained).warnings)
    for run in list(trained.runs.values())[:2]:
        assert run is not None
        (run.path / "excluded.csv").write_text("path,reason\ngone.png,gone.png: no such file.\n", encoding="utf-8")
    (said,) = (each for each in results_of(trained).warnings if "excluded.csv" in each)
    assert said.startswith("1 image could not be read") and said.endswith("The first: gone.png: no such file.")


def test_a_study_is_a_folder_that_says_what_it_asks(tmp_path: Path, images: pd.DataFrame) -> None:
    study = make(tmp_path, images)
    assert study.design() == DESIGN and [each.name for each in list_studies(tmp_path / "runs")] == ["lr"]
    assert set(study.manifest()["fold_1"]) == {"0", "1", "-1"} and len(study.runs) == 4
    assert not any(study.runs.values())
    with pytest.raises(BadRun, match="already"):
        make(tmp_path, images)


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"training.no_such": [1, 2]}, "training.no_such: there is no such setting"),
        ({"training.epochs": [1, "many"]}, "training.epochs"),
        ({"training.epochs.more": [1, 2]}, "there is no such setting"),
        ({"preprocessing.clahe": [True, False], "preprocessing.clip_limit": [1, 2]}, "without CLAHE there is no clip limit"),
    ],
)
def test_an_impossible_setting_is_refused_before_anything_is_written(
    tmp_path: Path, images: pd.DataFrame, factors: dict[str, list[Any]], said: str
) -> None:
    with pytest.raises(BadConfig, match=said):
        make(tmp_path, images, Design(folds=2, factors=factors))
    assert not list_studies(tmp_path / "runs") and not list((tmp_path / "runs").glob("*"))


def test_its_runs_are_ordinary_runs_that_never_hold_out_a_patient_they_train_on(finished: Study) -> None:
    held_out: list[str] = []
    for job, run in finished.runs.items():
        assert run is not None and run.status().state == "done"
        rows = run.manifest()
        assert rows.groupby("patient_id")["split"].nunique().max() == 1
        assert run.config().training.learning_rate == job.cell.settings["training.learning_rate"]
        held_out += list(read_predictions(run, "val")["path"])
        assert not (run.path / "predictions" / "test.csv").exists()
    assert {held_out.count(path) for path in set(held_out)} == {2} and len(set(held_out)) == 28


def test_results_are_those_of_scikit_learn_within_folds_and_paired(finished: Study) -> None:
    found = results_of(finished)
    assert (found.trained, found.runs, found.failed) == (4, 4, {})
    reference, other = found.cells
    runs = [run for job, run in finished.runs.items() if job.cell.number == 0 and run is not None]
    tables = [read_predictions(run, "val") for run in runs]
    areas = [float(roc_auc_score(table["label"] == "malignant", table["score"])) for table in tables]
    pairs = [(table["label"] == "malignant").sum() * (table["label"] == "benign").sum() for table in tables]
    assert reference.by_fold == pytest.approx(areas) and isinstance(reference.auc, Interval)
    assert reference.auc.value == pytest.approx(sum(a * n for a, n in zip(areas, pairs, strict=True)) / sum(pairs))
    assert isinstance(other.auc, Interval) and isinstance(other.difference, Interval)
    assert other.difference.value == pytest.approx(other.auc.value - reference.auc.value)
    assert other.adjusted_p == other.p and reference.difference is None and reference.images == 28
    assert found.as_dict()["cells"][1]["settings"] == {"training.learning_rate": 0.0001}
    assert "learning_rate 0.0001" in found.answer and len(found.table_rows()) == 2


def test_what_is_finished_is_never_trained_again(trained: Study) -> None:
    before = {run.path: (run.path / "events.jsonl").read_bytes() for run in trained.runs.values() if run is not None}
    assert work(trained, queue=False).trained == []
    assert {path: (path / "events.jsonl").read_bytes() for path in before} == before


def test_an_answer_of_one_setting_says_how_much_of_it_is_trained(trained: Study) -> None:
    found = results_of(trained)
    alone = replace(found, cells=found.cells[:1])
    assert re.fullmatch(r"AUC 0\.\d{3} \[.*\] over 2 folds\.", alone.answer)
    one = replace(alone, cells=(replace(alone.cells[0], folds=1),), trained=1)
    assert one.answer.endswith("over 1 fold. So far 1 of 4 runs are trained.")


@pytest.mark.slow
def test_a_study_without_one_of_its_runs_says_so_and_trains_it_to_the_same_scores(trained: Study) -> None:
    job, run = list(trained.runs.items())[1]
    assert run is not None
    scores = read_predictions(run, "val")
    shutil.rmtree(run.path)
    found = results_of(trained)
    assert found.trained == 3 and found.cells[1].folds == 1 and "So far 3 of 4 runs" in found.answer
    assert work(trained, queue=False).trained == [job.name]
    assert read_predictions(Run(run.path), "val").equals(scores)


def test_a_failed_run_is_listed_with_its_reason_and_trained_again_only_when_asked(trained: Study) -> None:
    job, run = next(iter(trained.runs.items()))
    assert run is not None
    run.set_status(state="failed", reason="no room left on the disk")
    assert results_of(trained).failed == {job.name: "no room left on the disk"}
    outcome = work(trained, queue=False)
    assert outcome.failed == {job.name: "no room left on the disk"} and outcome.trained == []
    assert work(trained, queue=False, retry=True).failed == {}
    assert results_of(trained).trained == 4


@pytest.mark.slow
def test_a_stop_counts_whenever_it_is_asked_for_and_the_study_continues_later(
    tmp_path: Path, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make(tmp_path, images, Design(folds=2))
    study.request_stop()  # of a worker that is just starting
    monkeypatch.setenv("MAMMOLAB_STUDY_WORKER", "1")  # as in the process that start_process starts
    assert work(study, queue=False).stopped and not any(study.runs.values())
    monkeypatch.delenv("MAMMOLAB_STUDY_WORKER")

    def stop(job: object, run: Run) -> None:
        study.request_stop()

    outcome = work(study, on_run=stop, queue=False)  # before a run: it ends after the step at hand
    assert outcome.stopped and len(outcome.trained) <= 1

    def last(event: Any) -> None:
        if event["type"] == "epoch":
            study.request_stop()

    outcome = work(study, on_event=last, queue=False)  # at the last moment of a run
    assert outcome.stopped and len(outcome.trained) <= 1 and results_of(study).trained < 2
    assert work(study, queue=False).failed == {} and results_of(study).trained == 2


def test_two_workers_share_the_runs_and_repeat_none_and_images_of_several_repeats_count_once(
    tmp_path: Path, images: pd.DataFrame
) -> None:
    study = make(tmp_path, images, Design(folds=2, repeats=2))
    outcomes = []
    workers = [threading.Thread(target=lambda: outcomes.append(work(study, queue=False))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    names = [name for outcome in outcomes for name in outcome.trained]
    assert len(names) == 4 and sorted(names) == sorted(job.name for job in study.design().jobs)
    assert not any(outcome.failed for outcome in outcomes)
    (found,) = results_of(study).cells
    assert (found.images, found.folds, len(found.by_fold)) == (28, 4, 4)


def test_a_run_that_another_worker_takes_at_the_last_moment_is_not_announced(
    trained: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, run = next(iter(trained.runs.items()))
    assert run is not None
    begun: list[str] = []

    def tried() -> str:
        return attempt(trained, run, Counter(), begin=lambda: begun.append(run.name), on_event=None, queue=False).ended

    run.set_status(state="stopped")
    lock = run.acquire()  # the other one's, which a look at the run has just not seen
    with monkeypatch.context() as patch:
        patch.setattr("core.studies.attempts.free", lambda *_: None)
        assert tried() == "elsewhere" and begun == []
    lock.release()
    assert tried() == "done" and begun == [job.name]


def test_more_repeats_keep_what_is_trained_and_draw_other_folds(trained: Study) -> None:
    before = trained.manifest()["fold_1"].tolist()
    trained.extend(repeats=2)
    after = trained.manifest()
    assert after["fold_1"].tolist() == before != after["fold_2"].tolist()
    assert len(trained.runs) == 8 and sum(run is not None for run in trained.runs.values()) == 4
    with pytest.raises(BadConfig, match="more than 2"):
        trained.extend(repeats=2)


@pytest.mark.slow
def test_a_set_without_a_split_gives_up_the_test_images_that_a_training_would(tmp_path: Path, images: pd.DataFrame) -> None:
    study = make(tmp_path, images.assign(split="", fold_1="7", fold_group="x"), Design(folds=2))
    own = Run.create(toy_config(tmp_path / "others"), images.assign(split=""))
    tested = own.manifest().query("split == 'test'")["path"]
    found = study.manifest()
    assert len(tested) and set(found.loc[found["fold_1"] == "-1", "path"]) == set(tested)


def test_two_combinations_that_are_the_same_are_refused(tmp_path: Path, images: pd.DataFrame) -> None:
    with pytest.raises(BadConfig, match="are the same settings"):
        make(tmp_path, images, Design(folds=2, factors={"training.epochs": [2, "2"]}))


@pytest.mark.slow
def test_further_repeats_need_no_image_to_keep_copies_together(trained: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = trained.manifest()
    first, second = (manifest.index[manifest["fold_1"] != "-1"])[:2]
    groups = manifest["fold_group"].where(manifest.index != second, manifest.at[first, "fold_group"])
    write_manifest(manifest.assign(fold_group=groups), trained.path / "manifest.csv")
    monkeypatch.setattr("core.studies.folds.find_duplicates", None)
    trained.extend(repeats=8)
    after = trained.manifest()
    assert all(after.at[first, f"fold_{repeat}"] == after.at[second, f"fold_{repeat}"] for repeat in range(2, 9))


def test_a_study_of_files_that_are_not_there_is_refused(tmp_path: Path, images: pd.DataFrame) -> None:
    with pytest.raises(BadManifest, match="none of the 32 files is there"):
        make(tmp_path, images.assign(path=[f"/nowhere/{number}.png" for number in range(32)]))


def test_its_test_split_is_never_evaluated_and_does_not_count_as_a_run_s(trained: Study) -> None:
    run = next(run for run in trained.runs.values() if run is not None)
    with pytest.raises(BadRun, match="of the study lr, whose test split stays sealed"):
        evaluate(run, "test")
    assert run_folders(trained.path.parent) == [] and run_folders(trained.path) == []
    assert runs_root(trained.path) == trained.path.parent


@pytest.mark.slow
def test_a_run_that_cannot_be_made_is_listed_with_its_reason(trained: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    job, run = next(iter(trained.runs.items()))
    assert run is not None
    shutil.rmtree(run.path)

    def refuse(*_: object, **__: object) -> Run:
        raise MissingWeights("no weights here")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "create", refuse)
        assert work(trained, queue=False).failed == {job.name: "no weights here"}
    assert results_of(trained).failed == {job.name: "no weights here"}
    assert work(trained, queue=False).failed == {} and results_of(trained).failed == {}


def test_workers_are_counted_by_processes_that_are_there(trained: Study) -> None:
    folder = trained.path / "workers"
    folder.mkdir(exist_ok=True)
    (folder / f"{platform.node()}-{os.getpid()}").write_text("another start", encoding="utf-8")
    (folder / f"{platform.node()}-precious").write_text("mine", encoding="utf-8")
    assert active_workers(trained) == 0
    assert [path.name for path in folder.iterdir()] == [f"{platform.node()}-precious"]


@pytest.mark.slow
def test_a_worker_of_its_own_is_stopped_and_killed_and_nothing_is_lost(
    tmp_path: Path, images: pd.DataFrame, finished: Study
) -> None:
    study = make(tmp_path, images)
    start_process(study)
    wait_until(lambda: any(run is not None and run.status().state == "done" for run in study.runs.values()))
    study.request_stop()
    wait_until(lambda: active_workers(study) == 0)
    process = start_process(study)
    assert active_workers(study) == 1
    wait_until(lambda: any(run is not None and run.status().live for run in study.runs.values()))
    psutil.Process(process).kill()
    wait_until(lambda: active_workers(study) == 0)
    assert not work(study, queue=False).failed
    undisturbed = results_of(finished)
    assert [each.auc for each in results_of(study).cells] == [each.auc for each in undisturbed.cells]


@pytest.mark.skipif(os.name == "nt", reason="needs rights on Windows")
@pytest.mark.parametrize("name", ["workers", "control", "failures", "process.log"])
def test_a_folder_that_leads_elsewhere_is_refused(trained: Study, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(trained.path / name, ignore_errors=True)
    (trained.path / name).symlink_to(tmp_path / "elsewhere")
    for act in (trained.request_stop, lambda: active_workers(trained), lambda: work(trained), lambda: Study.open(trained.path)):
        with pytest.raises(BadRun, match="Take it out"):
            act()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_damaged_design_is_named(trained: Study) -> None:
    (trained.path / "study.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(BadConfig, match=r"study\.yaml"):
        trained.design()
    with pytest.raises(BadRun, match="no study"):
        Study.open(trained.path / "nowhere")


@pytest.mark.slow
def test_the_report_is_one_file_that_says_what_was_asked_done_and_found(trained: Study) -> None:
    page = study_report(trained).read_text(encoding="utf-8")
    found = results_of(trained)
    for words in ("Does it help?", "learning_rate 0.01", "StratifiedGroupKFold", "optimistic", "appendix-configuration"):
        assert words in page
    auc = found.cells[0].auc
    assert isinstance(auc, Interval) and f"{auc.value:.3f}" in page
    assert all(job.name in page for job in trained.runs)
    assert not re.search(r"<script|(?:src|href)=\"(?!#|data:)", page), "nothing is loaded and nothing runs"
    assert page == study_report(trained).read_text(encoding="utf-8")


def test_the_report_of_a_study_that_has_not_begun_says_so_and_escapes_what_it_is_asked(
    tmp_path: Path, images: pd.DataFrame
) -> None:
    study = make(tmp_path, images, Design(question="<b>why</b>", folds=2))
    page = study_report(study).read_text(encoding="utf-8")
    assert "&lt;b&gt;why&lt;/b&gt;" in page and "<b>why" not in page
    assert "Only 0 of 2 runs are trained" in page and "No fold is trained yet" in page


def test_a_manifest_without_its_folds_is_refused_with_the_reason(trained: Study) -> None:
    rows = trained.manifest()
    write_manifest(rows.drop(columns="fold_1"), trained.path / "manifest.csv")
    with pytest.raises(BadManifest, match="column fold_1"):
        results_of(trained)


@pytest.mark.slow
def test_a_study_is_deleted_with_its_runs_and_nothing_that_is_somebody_elses(trained: Study) -> None:
    other = trained.path.parent / "lr-2"
    shutil.copytree(trained.path, other)
    note = trained.path / "thesis.docx"
    note.write_text("mine", encoding="utf-8")
    with pytest.raises(BadRun, match=r"did not make: thesis\.docx"):
        delete_study(trained)
    inner = next(run for run in trained.runs.values() if run is not None).path / "mine.txt"
    note.rename(inner)
    with pytest.raises(BadRun, match=r"mine\.txt"):
        delete_study(trained)
    inner.unlink()
    study_report(trained)
    delete_study(trained)
    assert not trained.path.exists() and len(Study.open(other).runs) == 4


def test_a_study_that_is_trained_is_not_deleted(trained: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.studies.removal.active_workers", lambda study: 1)
    with pytest.raises(BadRun, match="Stop it first"):
        delete_study(trained)
    assert trained.path.exists()


@pytest.mark.slow
def test_further_values_are_trained_beside_what_is_finished(trained: Study) -> None:
    before = {job.name for job, run in trained.runs.items() if run is not None}
    with pytest.raises(BadConfig, match=r"got .fast.; allowed"):
        trained.extend(values={"training.learning_rate": ["fast"]})
    trained.extend(values={"training.learning_rate": [0.001]})
    runs = {job.name: run for job, run in trained.runs.items()}
    assert before < set(runs) and sum(run is None for run in runs.values()) == 2
    assert results_of(trained).cells[2].folds == 0


def test_files_of_somebody_else_in_a_folder_of_the_study_are_not_deleted(trained: Study) -> None:
    for inner in ("control/my notes.txt", "failures/notes.doc"):
        (trained.path / inner).parent.mkdir(exist_ok=True)
        (trained.path / inner).write_text("mine", encoding="utf-8")
        with pytest.raises(BadRun, match=re.escape(inner)):
            delete_study(trained)
        (trained.path / inner).unlink()


def test_a_mark_without_a_time_is_of_no_worker(trained: Study) -> None:
    mark = trained.path / "workers" / f"{platform.node()}-999999"
    mark.parent.mkdir(exist_ok=True)
    mark.write_text("", encoding="utf-8")
    assert active_workers(trained) == 0 and not mark.exists()


def test_a_run_that_is_not_what_its_name_says_is_named_with_what_differs(trained: Study) -> None:
    assert not [each for each in results_of(trained).warnings if "not the run" in each]
    (first, one), (_, other), (later, third), *_ = trained.runs.items()
    assert one is not None and other is not None and third is not None
    one.path.rename(trained.path / "aside")
    other.path.rename(one.path)  # the other setting, by the same fold
    warning = next(each for each in results_of(trained).warnings if "not the run" in each)
    assert warning.startswith(first.name) and "training.learning_rate 0.0001 in place of 0.01" in warning
    with pytest.raises(BadRun, match="not the run that the study asks for"):
        ensemble_of_study(trained)
    shutil.rmtree(one.path)
    (trained.path / "aside").rename(one.path)
    shutil.rmtree(third.path)
    shutil.copytree(one.path, third.path)  # the same setting, by another fold
    assert any(each.startswith(later.name) and "other images" in each for each in results_of(trained).warnings)


def test_a_run_whose_configuration_was_changed_meanwhile_is_named(trained: Study) -> None:
    path = trained.path / "config.yaml"
    path.write_text(re.sub(r"(?m)^(\s+epochs:) 1\b", r"\1 2", path.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    named = [each for each in results_of(trained).warnings if "training.epochs 1 in place of 2" in each]
    assert len(named) == 4


@pytest.mark.slow
def test_the_report_says_which_folds_were_held_out(tmp_path: Path, images: pd.DataFrame) -> None:
    study = make(tmp_path, images, Design(folds=3, train_folds=2))
    page = study_report(study).read_text(encoding="utf-8")
    assert "2 of 3 folds" in page and "Only the first 2 were held out" in page and "Each fold was held out" not in page
