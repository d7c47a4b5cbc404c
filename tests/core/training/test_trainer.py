"""The arithmetic against independent ways to get the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from core.config import Config
from core.data.batches import batches
from core.errors import TrainingFailed
from core.model import Classifier, load_model
from core.training.device import thread_count
from core.training.losses import class_weights
from core.training.phases import plan_phases
from core.training.trainer import Trainer
from core.training.validation import save_best_model, validate

CPU = torch.device("cpu")


def epoch(trainer: Trainer) -> tuple[dict[str, torch.Tensor], float]:
    for _ in trainer.optimizer_steps():
        pass
    return dict(trainer.model.state_dict()), trainer.loss.mean()


# 18 training images: batches of 4 leave windows of 8, 8 and 2, whose mean must be over 2 images.
@pytest.mark.slow_for("1-8", "3-3")
@pytest.mark.parametrize(("batch", "accumulation"), [(4, 2), (2, 4), (1, 8), (3, 3)])
def test_accumulated_batches_equal_one_large_batch(make_trainer: Callable[..., Trainer], batch: int, accumulation: int) -> None:
    large = make_trainer(training__batch_size=batch * accumulation)
    small = make_trainer(training__batch_size=batch, training__advanced__accumulation_steps=accumulation)
    weights, loss = epoch(large)
    accumulated, accumulated_loss = epoch(small)
    assert small.state.update == large.state.update
    assert accumulated_loss == pytest.approx(loss, rel=1e-5)
    for name, tensor in weights.items():
        torch.testing.assert_close(accumulated[name], tensor, rtol=1e-3, atol=2e-5, msg=name)


def test_weights_make_both_classes_count_the_same() -> None:
    benign, malignant = class_weights(3, 100)
    assert 97 * benign == pytest.approx(3 * malignant)
    assert 97 * benign + 3 * malignant == pytest.approx(100)


@pytest.mark.parametrize("imbalance", ["none", "weights"])
def test_the_loss_is_scikit_learns_log_loss(make_trainer: Callable[..., Trainer], imbalance: str) -> None:
    trainer = make_trainer(training__imbalance=imbalance, training__batch_size=18, training__learning_rate=1e-12)
    trainer.model.eval()
    rows = trainer.rows
    batch = next(
        iter(
            batches(
                rows.train,
                rows.cache,
                rows.recipe,
                batch_size=18,
                augmentation=trainer.config.augmentation,
                seed=0,
                epoch=1,
                order="shuffle",
            )
        )
    )
    with torch.no_grad():
        scores = torch.sigmoid(trainer.model(batch.images)).double().numpy()
    labels = batch.labels.numpy()
    weights = np.where(labels > 0, 18 / 2 / labels.sum(), 18 / 2 / (18 - labels.sum())) if imbalance == "weights" else None
    _, loss = epoch(trainer)
    assert loss == pytest.approx(log_loss(labels, scores, sample_weight=weights), rel=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_validation_metrics_are_those_of_scikit_learn_over_the_whole_set(
    make_trainer: Callable[..., Trainer], balanced: bool
) -> None:
    imbalance = "weights" if balanced else "none"
    trainer = make_trainer(training__batch_size=3, training__imbalance=imbalance)  # 10 images: the last batch is not full
    result = validate(trainer.model, trainer.rows, trainer.config, CPU)
    labels = (trainer.rows.val["label"] == "malignant").to_numpy()
    with torch.no_grad():
        pixels = np.stack([trainer.rows.cache.get(path).pixels for path in trainer.rows.val["path"]])
        trainer.model.eval()
        scores = torch.sigmoid(trainer.model(torch.from_numpy(pixels)[:, None] / 255.0)).double().numpy()
    np.testing.assert_allclose(result.scores, scores, atol=1e-6)
    weights = np.where(labels, 0.5 / labels.mean(), 0.5 / (1 - labels.mean())) if balanced else None
    assert result.metrics["loss"] == pytest.approx(log_loss(labels, scores, sample_weight=weights), rel=1e-4)
    assert result.metrics["auc"] == pytest.approx(roc_auc_score(labels, result.scores))
    assert result.metrics["average_precision"] == pytest.approx(average_precision_score(labels, result.scores))
    assert (result.scores[labels] >= result.threshold).mean() >= trainer.config.evaluation.target_sensitivity


def test_validation_leaves_the_model_in_its_mode_and_its_weights_alone(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    validate(trainer.model.train(), trainer.rows, trainer.config, CPU)
    assert trainer.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())


def test_the_kept_model_gives_the_scores_that_stand_in_the_file(make_trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    trainer = make_trainer()
    epoch(trainer)
    result = validate(trainer.model, trainer.rows, trainer.config, CPU)
    save_best_model(tmp_path / "run", trainer.model, trainer.config, trainer.rows, result, 3)
    model, card = load_model(tmp_path / "run")
    again = validate(model, trainer.rows, trainer.config, CPU)
    table = pd.read_csv(tmp_path / "run" / "predictions" / "val.csv", dtype={"patient_id": str})
    np.testing.assert_allclose(table["score"], again.scores, atol=1.5e-6)
    assert table["path"].tolist() == trainer.rows.val["path"].tolist()
    assert list(table.columns) == ["path", "patient_id", "laterality", "view", "label", "split", "score"]
    assert (card.best_epoch, card.threshold) == (3, result.threshold)
    assert set(card.thresholds) == {"breast", "patient"} and card.threshold_rule.kind == "sensitivity"
    assert card.calibration.fitted.method in ("logistic", "none")  # none, with its reason, where scores do not rise
    assert card.recipe_hash == trainer.config.preprocessing.hash


def test_a_model_that_answers_nan_on_validation_has_diverged(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.head_parameters()[0].fill_(float("nan"))
    with pytest.raises(TrainingFailed, match=r"lower training\.learning_rate"):
        validate(trainer.model, trainer.rows, trainer.config, CPU)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_no_number_is_noticed(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    trainer = make_trainer()
    if where == "loss":
        real = trainer._loss
        monkeypatch.setattr(trainer, "_loss", lambda batch: (real(batch)[0] * float("nan"), 0.0))
    else:
        trainer.model.head_parameters()[0].register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingFailed, match="diverged"):
        epoch(trainer)


def test_gradients_are_clipped(make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer()
    norms = []
    assert trainer.optimizer is not None
    real = trainer._loss
    monkeypatch.setattr(trainer, "_loss", lambda batch: (real(batch)[0] * 1e4, 0.0))
    trainer.optimizer.register_step_pre_hook(
        lambda optimizer, args, kwargs: norms.append(
            torch.linalg.vector_norm(
                torch.stack([p.grad.norm() for group in optimizer.param_groups for p in group["params"]])
            ).item()
        )
    )
    epoch(trainer)
    assert norms == pytest.approx([1.0] * trainer.steps, rel=1e-3)


@pytest.mark.slow
def test_the_sampler_draws_both_classes_as_often(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(training__imbalance="sampler")
    assert trainer.criterion.benign_weight == trainer.criterion.malignant_weight == 1.0
    seen: list[float] = []
    real = trainer._loss
    trainer._loss = lambda batch: (seen.extend(batch.labels.tolist()), real(batch))[1]  # type: ignore[method-assign]
    for number in range(1, 7):
        epoch(trainer)
        trainer.next_epoch()
        assert trainer.state.epoch == number + 1
    assert np.mean(seen) == pytest.approx(0.5, abs=0.12)  # 108 draws; a third without the sampler


def test_dropout_does_not_depend_on_who_else_draws_random_numbers(make_trainer: Callable[..., Trainer]) -> None:
    def with_dropout() -> Trainer:
        trainer = make_trainer()
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        return trainer

    quiet, disturbed = with_dropout(), with_dropout()
    weights, _ = epoch(quiet)
    for _ in disturbed.optimizer_steps():
        torch.rand(1000)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in disturbed.model.state_dict().items())


def test_a_frozen_backbone_stays_as_it_is(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(training__freeze_epochs=1)
    head, fine = plan_phases(trainer.config.training, pretrained=True)
    trainer.begin(head)
    before = {name: tensor.clone() for name, tensor in trainer.model.named_parameters()}
    epoch(trainer)
    assert changed(trainer.model, before) == {"backbone.classifier.weight", "backbone.classifier.bias"}
    trainer.next_epoch()
    trainer.begin(fine)
    epoch(trainer)
    assert changed(trainer.model, before) == set(before)


def changed(model: Classifier, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize(("threads", "shared", "expected"), [(3, True, 3), (3, False, 3), (0, False, 4), (0, True, 3)])
def test_a_core_is_left_to_the_dashboard(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, threads: int, shared: bool, expected: int
) -> None:
    from core.training import device

    monkeypatch.setattr(device.os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert thread_count(make_config(training__advanced__threads=threads).training, shares_machine=shared) == expected


def test_an_update_in_one_pass_is_adamws_own(make_trainer: Callable[..., Trainer]) -> None:
    ours, plain = make_trainer(), make_trainer()
    assert plain.optimizer is not None
    plain.optimizer = torch.optim.AdamW(plain.optimizer.param_groups, foreach=False, fused=False)
    (weights, loss), (expected, expected_loss) = epoch(ours), epoch(plain)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_a_run_begun_with_another_way_to_update_keeps_it(make_trainer: Callable[..., Trainer]) -> None:
    old, resumed = make_trainer(), make_trainer()
    assert old.optimizer is not None and resumed.optimizer is not None
    for group in old.optimizer.param_groups:
        group["fused"] = None
    epoch(old)
    assert any(group["fused"] for group in resumed.optimizer.param_groups)
    resumed.restore(old.state_dicts(), optimizer=True)
    assert not any(group["fused"] for group in resumed.optimizer.param_groups)
