"""Every random number is one of seed, epoch and step, whoever else draws in the same process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from core.data.batches import Batch
from core.model import Classifier
from core.training.rng import choose_copies, mix_share, step_seed
from core.training.trainer import Trainer


def batch(trainer: Trainer, count: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 1, 32, 32, generator=generator)
    return Batch(images, (torch.arange(count) % 2).float(), torch.arange(count), torch.ones(count))


def test_two_trainings_in_two_threads_do_not_draw_from_each_other(make_trainer: Callable[..., Trainer]) -> None:
    def with_dropout() -> Trainer:
        trainer = make_trainer()
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        # The other thread has its chance between the seeding and the draw.
        trainer.model.register_forward_pre_hook(lambda module, images: time.sleep(0.005))
        return trainer

    alone, *together = [with_dropout() for _ in range(3)]
    for _ in alone.optimizer_steps():
        pass
    threads = [threading.Thread(target=lambda trainer=trainer: list(trainer.optimizer_steps())) for trainer in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = alone.model.state_dict()
    for trainer in together:
        assert all(torch.equal(value, expected[name]) for name, value in trainer.model.state_dict().items())


def test_dropout_differs_between_steps_epochs_seeds_and_processes() -> None:
    places = [(0, 1, 1, 0), (1, 1, 1, 0), (0, 2, 1, 0), (0, 1, 2, 0), (0, 1, 1, 1), (0, 1, 1, 2)]
    seeds = [step_seed(*place) for place in places]
    assert len(set(seeds)) == len(places)
    assert seeds == [step_seed(*place) for place in places]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_copies_and_blends_are_functions_of_their_place() -> None:
    copies = choose_copies(1000, 3, 0, 1)
    assert np.bincount(copies, minlength=3).min() > 250
    assert np.array_equal(copies, choose_copies(1000, 3, 0, 1)) and not np.array_equal(copies, choose_copies(1000, 3, 0, 2))
    shares = [mix_share(0.4, 0, 1, step) for step in range(200)]
    assert shares == [mix_share(0.4, 0, 1, step) for step in range(200)]
    assert all(0.5 <= share <= 1 for share in shares) and len(set(shares)) > 190


def test_mixup_blends_images_with_others_of_the_batch_and_their_labels_as_much(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(augmentation__mixup=0.4, training__imbalance="none")
    seen: list[torch.Tensor] = []
    real = Classifier.forward

    def forward(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return real(self, images)

    monkeypatch.setattr(Classifier, "forward", forward)
    one = batch(trainer, 5)
    loss, _ = trainer._loss(one)
    share = mix_share(0.4, 0, trainer.state.epoch, trainer.state.step)
    torch.testing.assert_close(seen[0], share * one.images + (1 - share) * one.images.flip(0))
    labels = share * one.labels + (1 - share) * one.labels.flip(0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(real(trainer.model, seen[0]), labels, reduction="sum")
    torch.testing.assert_close(loss, expected)


def test_without_mixup_images_come_as_they_are(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(training__imbalance="none")
    one = batch(trainer, 4)
    logits = trainer.model(one.images)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, one.labels, reduction="sum")
    torch.testing.assert_close(trainer._loss(one)[0], expected)
