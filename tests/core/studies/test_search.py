"""A search: trials are asked for, trained, pruned, taken over and counted; the claim leaves out what they were compared on."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders.fake_training import auc_of, faked
from builders.toy_training import draw_frame, toy_config

from core.config import dump_config
from core.errors import BadConfig, BadRun, TrainingFailed
from core.evaluate.store import read_predictions
from core.metrics.intervals import Interval
from core.runs import Run
from core.studies import Design, Range, Search, Study, results_of, search_of, work, worker
from core.studies.report import study_report
from core.studies.search import Searched, SearchResults, search
from core.studies.study import _as_yaml
from core.studies.trial_store import TrialStore, _pruner

RATE = "training.learning_rate"
SPACE = {RATE: Range(low=1e-4, high=0.1, log=True), "model.dropout": Range(low=0, high=0.5)}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return draw_frame(tmp_path_factory.mktemp("search") / "images")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, images: pd.DataFrame) -> Study:
    """A study that nobody has worked on, with an empty database: tables are made once."""
    study = made(tmp_path_factory.mktemp("template"), images)
    with TrialStore.open(study, study.design()):
        pass
    return study


@pytest.fixture
def study(template: Study, tmp_path: Path) -> Study:
    shutil.copytree(template.path, tmp_path / "runs" / "best")
    return Study.open(tmp_path / "runs" / "best")


def made(root: Path, images: pd.DataFrame, **search: Any) -> Study:
    design = Design(folds=3, search=Search(**{"space": SPACE, "trials": 2} | search))
    config = toy_config(root / "runs", training__epochs=3, evaluation__bootstrap_samples=100)
    return Study.create("best", design, config, images)


def changed(study: Study, **search: Any) -> Study:
    """The study with other values of its search."""
    design = study.design()
    assert design.search is not None
    other = Search.model_validate(design.search.model_dump() | search)
    (study.path / "study.yaml").write_text(_as_yaml(design.model_copy(update={"search": other})), encoding="utf-8")
    return study


@pytest.mark.parametrize(("epochs", "first"), [(1, 1), (3, 1), (4, 2), (5, 2), (6, 2), (15, 5)])
def test_no_trial_is_pruned_in_the_first_third_of_its_epochs(tmp_path: Path, epochs: int, first: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = _pruner(toy_config(tmp_path, training__epochs=epochs), pruning=True)
    trials = optuna.create_study(direction="maximize", pruner=pruner)
    for _ in range(4):
        good = trials.ask()
        for epoch in range(1, epochs + 1):
            good.report(0.9, epoch)
        trials.tell(good, 0.9)
    poor = trials.ask()
    pruned = []
    for epoch in range(1, epochs + 1):
        poor.report(0.1, epoch)
        pruned.append(poor.should_prune())
    assert pruned.index(True) + 1 == first >= epochs / 3


def searched(study: Study, *, retry: bool = False, **more: Any) -> Searched:
    """Train the trials alone."""
    callbacks = {"on_run": None, "on_event": None} | more
    return search(study, study.design(), study.manifest(), retry=retry, queue=False, **callbacks)


def found_in(study: Study) -> SearchResults:
    found = search_of(study)
    assert found is not None
    return found


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trainings that compute nothing; called with other arguments of `faked`."""

    def use(*arguments: Any, **more: Any) -> None:
        monkeypatch.setattr("core.training.launchers.run_to_end", faked(*arguments, **more))

    use()
    monkeypatch.setattr("core.studies.search.LOOK", 0.02)
    monkeypatch.setattr("core.studies.worker.LOOK", 0.02)
    return use


@pytest.fixture(scope="module")
def finished(template: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """All trials, and two repeats over the folds."""
    study = Study(shutil.copytree(template.path, tmp_path_factory.mktemp("finished") / "best"))
    study.extend(repeats=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.training.launchers.run_to_end", faked())
        outcome = work(changed(study, trials=8, pruning=False, sampler="random"), queue=False)
    assert not outcome.failed and not outcome.stopped
    assert outcome.trained[:4] == [f"{cell}-r1f{fold}" for fold in (2, 3) for cell in ("01-reference", "02-winner")]
    return study


def test_trials_are_ordinary_runs_with_the_settings_that_were_proposed_and_the_best_one_wins(finished: Study) -> None:
    found, names = found_in(finished), [run.name for run in finished.trial_runs()]
    assert found.left == 0 and names == [f"trial-{number:04d}" for number in range(1, 9)]
    assert len({str(each.settings) for each in found.trials}) == 8
    for each in found.trials:
        config = Run(finished.path / each.job.name).config()
        assert each.settings == {RATE: config.training.learning_rate, "model.dropout": config.model.dropout}
        assert each.value == auc_of(config, 3) and each.by_epoch == {epoch: auc_of(config, epoch) for epoch in (1, 2, 3)}
    best, design = found.best_trial, finished.design()
    assert best is not None and design.search is not None and design.search.winner is not None
    assert best.value == max(each.value or 0 for each in found.trials)
    assert (design.search.winner.trial, design.search.winner.settings) == (best.number, best.settings)
    run = finished.run_of(design.jobs[1])
    assert run is not None and run.config().training.learning_rate == best.settings[RATE]


def test_the_claim_leaves_out_the_fold_that_the_search_looked_at_in_every_repeat(finished: Study) -> None:
    manifest = finished.manifest()
    seen = set(manifest.loc[manifest["fold_1"] == "0", "path"])
    assert set(read_predictions(Run(finished.path / "trial-0001"), "val")["path"]) == seen
    found = results_of(finished)
    assert found.cells[0].images == 28 - len(seen) and found.runs == found.trained == 2 * 2 + 2 * 3
    assert len(found.cells[0].by_fold) == 5 and isinstance(found.cells[1].difference, Interval)
    assert "the first fold, which is left out here" in found.warnings[0] and "winner" in found.answer


def test_importance_names_the_setting_that_matters(finished: Study) -> None:
    found = found_in(finished)
    assert list(found.importance) == [RATE, "model.dropout"] and sum(found.importance.values()) == pytest.approx(1)
    assert found.importance[RATE] > 0.6 and found.log == (RATE,)


@pytest.mark.slow
def test_the_report_says_how_settings_were_looked_for_and_lists_every_trial(finished: Study) -> None:
    page = study_report(finished).read_text(encoding="utf-8")
    assert "8 trials were trained with the first fold" in page and "log:0.0001..0.1" in page
    assert "The configuration, and the best settings of a search over" in page and "settings of config.yaml" in page


def test_what_is_over_is_never_trained_again(finished: Study, fake: Any) -> None:
    before = {path: path.read_bytes() for path in finished.path.glob("*/status.json")}
    assert work(finished, queue=False).trained == []
    assert {path: path.read_bytes() for path in finished.path.glob("*/status.json")} == before


def test_two_workers_train_as_many_trials_as_were_asked_for_and_none_twice(study: Study, fake: Any) -> None:
    begun: list[str] = []
    outcomes = []
    changed(study, trials=4)

    def worker() -> None:
        outcomes.append(work(study, queue=False, on_run=lambda job, run: begun.append(job.name)))

    workers = [threading.Thread(target=worker) for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(outcomes) == 2 and not any(each.failed for each in outcomes)
    trials, jobs = found_in(study).trials, study.design().jobs
    assert len(trials) == 4 and len({str(each.settings) for each in trials}) == 4
    assert sorted(begun) == sorted([*(each.job.name for each in trials), *(job.name for job in jobs)]), "each announced once"
    assert sorted(name for each in outcomes for name in each.trained) == sorted(job.name for job in jobs)


def test_a_trial_whose_worker_was_killed_is_taken_over_where_it_was(study: Study, fake: Any) -> None:
    fake(killed=lambda run, epoch: run.name == "trial-0002" and epoch == 1)
    with pytest.raises(KeyboardInterrupt):
        searched(study)
    before = found_in(study)
    assert [each.state for each in before.trials] == ["finished", "running"]
    fake()
    epochs: dict[str, list[int]] = {}
    begun: list[str] = []

    def follow(event: Any) -> None:
        epochs.setdefault(begun[-1], []).append(event["epoch"])

    searched(study, on_run=lambda job, run: begun.append(job.name), on_event=follow)
    after = found_in(study)
    assert len(after.trials) == 2 and after.trials[1].settings == before.trials[1].settings
    assert begun[0] == "trial-0002" and epochs["trial-0002"] == [2, 3] and "trial-0001" not in begun
    assert list(after.trials[1].by_epoch or {}) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("moment", [(Study, "create_run"), (TrialStore, "end")], ids=["before its run", "before its end"])
def test_a_worker_killed_between_a_trial_and_its_run_leaves_no_trial_behind(
    study: Study, fake: Any, moment: tuple[type, str]
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*moment, die)
        with pytest.raises(KeyboardInterrupt):
            searched(study)
    assert [each.state for each in found_in(study).trials] == ["running"]
    searched(study)
    found = found_in(study)
    assert [each.state for each in found.trials] == ["finished"] * 2
    assert len({str(each.settings) for each in found.trials}) == 2


def with_four_trials_over(study: Study) -> None:
    """Four trials whose metric was 0.8 after each epoch, without a run of theirs."""
    with TrialStore.open(study, study.design()) as store:
        assert store is not None
        for _ in range(4):
            trial = store.ask()
            assert trial is not None
            for epoch in (1, 2, 3):
                store.report(trial, epoch, 0.8)
            store.end(trial, "finished", 0.8)


@pytest.mark.slow
def test_a_hopeless_trial_is_stopped_and_not_resumed(study: Study, fake: Any) -> None:
    with_four_trials_over(changed(study, trials=6))
    fake(lambda config, epoch: 0.9 - 0.2 * len(list(study.path.glob("trial-*"))) + 0.01 * epoch)
    searched(study)
    found = found_in(study)
    assert [each.state for each in found.trials] == ["finished"] * 4 + ["pruned"] * 2 and found.left == 0
    assert [list(each.by_epoch or {}) for each in found.trials[3:]] == [[1, 2, 3], [1], [1]]
    status = Run(study.path / "trial-0005").status()
    assert status.state == "stopped" and "Pruned after epoch 1" in status.reason == found.trials[4].reason
    assert found.best == 1


@pytest.mark.slow
def test_without_pruning_every_trial_is_trained_to_its_end(study: Study, fake: Any) -> None:
    with_four_trials_over(changed(study, trials=5, pruning=False))
    fake(lambda config, epoch: 0.3)
    searched(study)
    assert found_in(study).count("finished") == 5


@pytest.mark.slow
def test_a_worker_killed_while_it_prunes_a_trial_does_not_train_it_further(study: Study, fake: Any) -> None:
    with TrialStore.open(study, study.design()) as store:
        assert store is not None
        with store.lock:
            trial = store.ask()
        assert trial is not None
        run = study.create_run(trial.job, study.manifest())
        store._handle(trial).set_user_attr("pruned", 1)
    begun: list[str] = []
    searched(study, on_run=lambda job, run: begun.append(job.name))
    assert found_in(study).trials[0].state == "pruned" and begun == ["trial-0002"]
    assert run.status().state == "stopped"


@pytest.mark.slow
def test_impossible_settings_fail_with_their_reason_and_the_search_goes_on(
    study: Study, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Study.create_run

    def refuse(self: Study, job: Any, manifest: pd.DataFrame) -> Run:
        if job.name == "trial-0002":
            raise BadConfig("the network cannot take it")
        return real(self, job, manifest)

    monkeypatch.setattr(Study, "create_run", refuse)
    assert searched(study) == Searched()
    found = found_in(study)
    assert [each.state for each in found.trials] == ["finished", "failed"]
    assert found.trials[1].reason == "the network cannot take it" and "1 failed" in found.summary


@pytest.mark.slow
def test_failed_trials_are_repeated_in_their_place_when_asked(study: Study, fake: Any) -> None:
    def fail(run: Run, **_: Any) -> None:
        run.set_status(state="failed", reason="no room left")
        raise TrainingFailed("no room left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.training.launchers.run_to_end", fail)
        outcome = work(study, queue=False)
    assert outcome.failed == {f"trial-{number:04d}": "no room left" for number in (1, 2)} and not outcome.trained
    assert searched(study, retry=True) == Searched()
    found = found_in(study)
    assert len(found.trials) == 4 and found.left == 0 and [each.instead_of for each in found.trials] == [0, 0, 1, 2]
    assert [each.settings for each in found.trials[2:]] == [each.settings for each in found.trials[:2]]


@pytest.mark.slow
def test_a_stop_ends_the_search_after_the_step_at_hand_and_it_continues_later(study: Study, fake: Any) -> None:
    def stop(job: object, run: Run) -> None:
        if run.name == "trial-0002":
            study.request_stop()

    outcome = work(study, queue=False, on_run=stop)
    assert outcome.stopped and not outcome.trained
    assert [each.state for each in found_in(study).trials] == ["finished", "running"]
    study.withdraw_stop()
    searched(study)
    assert found_in(study).count("finished") == 2


@pytest.mark.slow
def test_configured_settings_within_the_ranges_are_the_first_trial_and_may_win(study: Study, fake: Any) -> None:
    changed(study, space={RATE: [0.001, 0.1], "model.dropout": [0.2, 0.3]}, trials=2)
    fake(lambda config, epoch: 0.9 if (config.training.learning_rate, config.model.dropout) == (0.001, 0.2) else 0.6)
    outcome = work(study, queue=False)
    found = found_in(study)
    assert found.trials[0].reference and found.best == 1
    assert outcome.trained == ["01-reference-r1f2", "01-reference-r1f3"]
    assert "settings of config.yaml" in results_of(study).warnings[0]


@pytest.mark.slow
def test_every_combination_of_choices_is_tried_once(study: Study, fake: Any) -> None:
    sizes, flips = [32, [48, 32]], [True, False]
    space = {"preprocessing.size": sizes, "augmentation.vertical_flip": flips, "training.epochs": Range(low=1, high=3)}
    changed(study, space=space, trials=12)
    with TrialStore.open(study, study.design()) as store:
        assert store is not None
        while store.ask() is not None:
            pass
    found = found_in(study)
    assert len({str(each.settings) for each in found.trials}) == 12
    assert {str(each.settings["preprocessing.size"]) for each in found.trials} == {"32", "[48, 32]"}
    assert {type(each.settings["augmentation.vertical_flip"]) for each in found.trials} == {bool}


@pytest.mark.slow
def test_the_lowest_loss_wins_where_the_loss_is_monitored(study: Study, fake: Any) -> None:
    config = study.config()
    training = config.training.model_copy(update={"monitor": "loss"})
    (study.path / "config.yaml").write_text(dump_config(config.model_copy(update={"training": training})), encoding="utf-8")
    changed(study, key="0123456789ab", trials=3)  # as if made so
    fake(lambda config, epoch: config.model.dropout)
    searched(study)
    found = found_in(study)
    assert found.best_trial is not None and found.best_trial.value == min(each.value or 1 for each in found.trials)


def test_a_search_that_nobody_has_begun_has_no_trials_and_no_database(study: Study) -> None:
    (study.path / "optuna.db").unlink()
    found = found_in(study)
    assert found.trials == () and found.left == 2 and found.best_trial is None
    assert not (study.path / "optuna.db").exists() and results_of(study).trained == 0


def test_a_damaged_database_is_named(study: Study) -> None:
    (study.path / "optuna.db").write_bytes(b"no database " * 100)
    with pytest.raises(BadRun, match=r"optuna\.db: the database of the trials cannot be used"):
        search_of(study)


@pytest.mark.parametrize(
    ("server", "told"),
    [("postgresql://ann@server/db", True), ("postgresql://ann@elsewhere/db", False), ("postgresql://bob@server/db", False)],
)
def test_only_the_server_of_the_environment_is_told_its_password(
    study: Study, monkeypatch: pytest.MonkeyPatch, server: str, told: bool
) -> None:
    asked: list[str] = []

    def refuse(url: str, **_: object) -> None:
        asked.append(url)
        raise ImportError(f"no driver for {url}")

    monkeypatch.setattr("optuna.storages.RDBStorage", refuse)
    monkeypatch.setenv("MAMMOLAB_STORAGE", "postgresql://ann:s3cret@server/db")
    with pytest.raises(BadConfig, match="the driver of this database is not installed") as error:
        search_of(changed(study, storage=server))
    assert asked == [server.replace("ann@", "ann:s3cret@") if told else server]
    assert "s3cret" not in str(error.value)


def test_an_environment_that_holds_no_url_is_refused_without_repeating_it(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMOLAB_STORAGE", "s3cret")
    with pytest.raises(BadConfig, match="MAMMOLAB_STORAGE: expected the URL") as error:
        search_of(changed(study, storage="postgresql://ann@server/db"))
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"model.dropout": Range(low=0, high=2)}, r"model\.dropout"),
        ({"model.name": ["small_cnn", "no_such_net"]}, "no_such_net"),
        ({"training.nothing": Range(low=1, high=2)}, "no such setting"),
    ],
)
def test_impossible_ends_and_choices_are_refused_before_anything_is_written(
    tmp_path: Path, images: pd.DataFrame, space: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadConfig, match=said):
        made(tmp_path, images, space=space, trials=2)
    assert not list((tmp_path / "runs").glob("*"))


def test_a_loss_that_the_search_changes_is_no_measure_of_its_trials(tmp_path: Path, images: pd.DataFrame) -> None:
    design = Design(folds=3, search=Search(space={"training.loss": ["bce", "focal"]}, trials=2))
    with pytest.raises(BadConfig, match=r"training\.loss changes the loss"):
        Study.create("best", design, toy_config(tmp_path / "runs", training__monitor="loss"), images)


@pytest.mark.slow
def test_what_the_study_is_extended_by_while_it_searches_is_trained_too(
    study: Study, monkeypatch: pytest.MonkeyPatch, fake: Any
) -> None:
    changed(study, trials=2, pruning=False)
    real = worker.search

    def search_and_extend(*arguments: Any, **more: Any) -> Any:
        found = real(*arguments, **more)
        study.extend(repeats=2)
        return found

    monkeypatch.setattr(worker, "search", search_and_extend)
    outcome = work(study, queue=False)
    assert not outcome.failed and any("-r2f" in name for name in outcome.trained)
