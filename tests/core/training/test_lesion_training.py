"""Training with lesions: patches before whole images, and a loss that draws the activation map to the lesion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from builders.copied import copied
from builders.toy_training import EVERY_STEP, draw_frame, toy_config

from core.config import AugmentationConfig
from core.data import augment, read_manifest, write_manifest
from core.data.cache import PreparedCache
from core.data.lesion_masks import PlacedLesion
from core.errors import BadConfig, BadManifest, LabError, NotEnoughData, TrainingFailed
from core.model import build_model
from core.runs import Run
from core.runs.forking import fork
from core.training.localization import Localization, localization_loss
from core.training.loop import train
from core.training.patches.images import CLASSES, UNKNOWN, PatchImages
from core.training.patches.phase import PatchPhase, patch_loss
from core.training.phases import patch_phase
from core.training.preflight import preflight

MakeRun = Callable[..., Run]
SPOT = 4  # px: side of the bright spot in malignant toy images
SIDE = 80  # px: of 96 and more, pictures are searched for altered copies, which takes longer than the training
PATCHES = {"training__lesions__patch_epochs": 2, "training__lesions__patch_size": 32, "preprocessing__size": 64}


def with_lesions(frame: pd.DataFrame) -> pd.DataFrame:
    """The toy images larger, each with a box: round the spot of a malignant one, somewhere in a benign one."""
    boxes = []
    for path, label in zip(frame["path"], frame["label"], strict=True):
        image = cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(path, image)
        y, x = np.unravel_index(np.argmax(image), image.shape) if label == "malignant" else (30, 40)
        boxes.append(json.dumps([[int(x), int(y), int(x) + 12, int(y) + 12]]))
    return frame.assign(lesions=boxes)


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    return with_lesions(draw_frame(tmp_path / "images"))


@pytest.fixture
def make_run(tmp_path: Path, frame: pd.DataFrame) -> MakeRun:
    def make(name: str, rows: pd.DataFrame | None = None, **changes: Any) -> Run:
        config = toy_config(tmp_path / "runs", **(PATCHES | changes))
        return Run.create(config, frame if rows is None else rows, name=name)

    return make


def weights(run: Run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run.path / "model.safetensors")


# ---------------------------------------------------------------------- patches


@pytest.fixture
def patches(tmp_path: Path) -> PatchImages:
    """Two 128 px images of tissue, one with two lesions, one with a lesion larger than a patch in its corner."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(2):
        paths.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(paths[-1], rng.integers(60, 200, (128, 128)).astype(np.uint8))
    lesions = [
        [PlacedLesion((20, 30, 30, 44), "malignant"), PlacedLesion((90, 90, 95, 93), "benign")],
        [PlacedLesion((80, 70, 128, 128), "")],
    ]
    config = toy_config(tmp_path, preprocessing__size=128)
    return PatchImages(paths, lesions, PreparedCache(tmp_path / "cache", config.preprocessing), 40)


def test_patches_hold_their_lesion_or_next_to_nothing_of_any(patches: PatchImages) -> None:
    seen = set()
    for epoch in range(20):
        for patch in patches.of_epoch(0, epoch):
            left, top = patch.corner
            assert 0 <= left <= 128 - 40 and 0 <= top <= 128 - 40
            shares = []
            for lesion in patches.lesions[patch.image]:
                x0, y0, x1, y1 = lesion.box
                width, height = min(x1, left + 40) - max(x0, left), min(y1, top + 40) - max(y0, top)
                shares.append(max(0, width) * max(0, height) / ((x1 - x0) * (y1 - y0)))
            if patch.target == 0:
                assert max(shares) <= 0.1
            elif patch.target == UNKNOWN:
                assert left >= 80 and top >= 70, "a patch of a larger lesion shows nothing else"
            else:
                kinds = [lesion.label for lesion in patches.lesions[patch.image]]
                assert shares[kinds.index(CLASSES[patch.target])] == 1.0
            seen.add((patch.image, patch.target))
    assert seen == {(0, 0), (0, 1), (0, 2), (1, 0), (1, UNKNOWN)}


def test_an_epoch_of_patches_is_a_function_of_seed_and_epoch(patches: PatchImages) -> None:
    assert patches.of_epoch(0, 1) == patches.of_epoch(0, 1)
    assert patches.of_epoch(0, 1) != patches.of_epoch(0, 2)
    assert patches.of_epoch(0, 1) != patches.of_epoch(1, 1)


def test_batches_of_patches_that_begin_later_are_those_of_the_whole_epoch(patches: PatchImages) -> None:
    plan = patches.of_epoch(0, 1)
    wanted: dict[str, Any] = {"batch_size": 2, "augmentation": AugmentationConfig(), "seed": 0, "epoch": 1}
    whole = list(patches.batches(plan, start=0, **wanted))
    later = list(patches.batches(plan, start=2, workers=2, **wanted))
    assert len(whole) == -(-len(plan) // 2) and len(later) == len(whole) - 2
    for (images, targets), (again, others) in zip(whole[2:], later, strict=True):
        assert torch.equal(images, again) and torch.equal(targets, others)
        assert images.shape[1:] == (1, 40, 40) and images.min() >= 0 and images.max() <= 1


def test_a_patch_without_augmentation_is_the_image_at_its_place(patches: PatchImages) -> None:
    plan = patches.of_epoch(0, 1)
    [(images, _)] = list(patches.batches(plan, batch_size=99, start=0, augmentation=None, seed=0, epoch=1))
    for patch, image in zip(plan, images[:, 0].numpy(), strict=True):
        left, top = patch.corner
        pixels = patches.cache.read_pixels(patches.paths[patch.image])[top : top + 40, left : left + 40]
        np.testing.assert_allclose(image, pixels / 255, atol=1e-6)


@pytest.mark.parametrize("change", [(True, 0.0, 1.0, False), (True, 12.0, 1.1, False), (False, -9.0, 0.9, True)])
def test_a_crop_of_the_changed_image_shows_what_the_changed_image_shows_there(change: tuple[bool, float, float, bool]) -> None:
    flip, angle, scale, upside_down = change
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (96, 96)).astype(np.uint8), (0, 0), 3)
    wanted = augment.Change(flip, angle, scale, 0.0, 1.0, upside_down)
    whole = augment.apply(pixels, wanted)
    # About the image's middle, both turn about the same point.
    np.testing.assert_allclose(augment.crop(pixels, wanted, (48, 48), 40), whole[28:68, 28:68], atol=2 / 255)


@pytest.mark.parametrize("change", [(True, 0.0, 1.0, False), (True, 12.0, 1.1, False), (False, -9.0, 0.9, True)])
def test_lesion_cells_move_with_the_image(change: tuple[bool, float, float, bool]) -> None:
    flip, angle, scale, upside_down = change
    wanted = augment.Change(flip, angle, scale, 0.0, 1.0, upside_down)
    pixels = np.zeros((128, 96), np.uint8)
    pixels[24:56, 16:40] = 255
    cells = np.zeros((16, 12), np.uint8)
    cells[3:7, 2:5] = 1
    moved = augment.apply(pixels, wanted).reshape(16, 8, 12, 8).mean((1, 3))
    found = augment.move_mask(cells, wanted, 8, (128, 96))
    assert (found[moved > 0.9] == 1).all() and (found[moved < 0.1] == 0).all()


def test_lesion_cells_move_with_an_image_whose_sides_are_no_multiple_of_theirs() -> None:
    wanted = augment.Change(True, 0.0, 1.0, 0.0, 1.0)
    pixels = np.zeros((35, 33), np.uint8)  # 5 x 5 cells, the last ones 3 and 1 pixel wide
    pixels[8:16, 25:33] = 255
    cells = np.zeros((5, 5), np.uint8)
    cells[1, 3:5] = 1
    moved = np.pad(augment.apply(pixels, wanted), ((0, 5), (0, 7))).reshape(5, 8, 5, 8).mean((1, 3))
    found = augment.move_mask(cells, wanted, 8, (35, 33))
    assert (found[moved > 0.9] == 1).all() and (found[moved < 0.1] == 0).all()


def test_the_loss_of_patches_is_cross_entropy_and_of_an_unknown_lesion_that_of_either_kind() -> None:
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [1.0, 1.0, 0.0]])
    shares = logits.softmax(1)
    expected = -(0.5 * shares[0, 0].log() + shares[1, 2].log() + (shares[2, 1] + shares[2, 2]).log()) / 2.5
    assert patch_loss(logits, torch.tensor([0, 2, UNKNOWN])).item() == pytest.approx(expected.item())


# ---------------------------------------------------------------------- the phase


def test_patches_come_before_whole_images_and_change_where_these_begin(make_run: MakeRun) -> None:
    run = make_run("run", training__epochs=1)
    events = list(train(run))
    kinds = [event["type"] for event in events]
    assert kinds.count("patch_epoch") == 2 and kinds.index("patch_epoch") < kinds.index("phase") < kinds.index("epoch")
    last = [event for event in events if event["type"] == "patch_epoch"][-1]
    assert last["patches"] > 18 and 0 < last["loss"] < 2 and 0 <= last["accuracy"] <= 1
    assert [event["phase"] for event in events if event["type"] == "phase"] == ["head"], "the network has learnt already"
    other = make_run("other", training__epochs=1, training__lesions__patch_epochs=0)
    list(train(other))
    before, after = weights(other), weights(run)
    assert any(not torch.equal(before[name], after[name]) for name in before if "stages" in name)


def killed(run: Run, after: int) -> None:
    """Train until so many steps of the patch phase are done and saved, and leave as a killed process does."""
    events: Iterator[Any] = train(run, timing=EVERY_STEP)
    for event in events:
        if event["type"] == "prepare" and event.get("what") == "patches" and event["done"] > after:
            events.close()  # type: ignore[attr-defined]
            return


def test_a_patch_phase_begins_with_the_batch_norm_statistics_that_the_network_has(patches: PatchImages, tmp_path: Path) -> None:
    config = toy_config(tmp_path, **(PATCHES | NETWORK))
    model = build_model(config.model)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    device = SimpleNamespace(device=torch.device("cpu"), type="cpu", use_grad_scaler=False)
    trainer = SimpleNamespace(config=config, model=model, device=device)
    PatchPhase(trainer, replace(patches, size=32), patch_phase(config.training, pretrained=False))  # type: ignore[arg-type]
    assert model.training and all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4])
def test_a_patch_phase_that_was_cut_off_ends_with_the_same_weights(make_run: MakeRun, after: int) -> None:
    settings = {"training__epochs": 2, "training__advanced__ema_decay": 0.9, "training__batch_size": 3}
    whole, cut = make_run("whole", **settings), make_run("cut", **settings)
    list(train(whole))
    killed(cut, after)
    events = list(train(cut, resume=True))
    assert events[0]["type"] == "resume"
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(cut).items())


@pytest.mark.slow
def test_a_stop_in_the_patch_phase_is_heeded_and_resumed(make_run: MakeRun) -> None:
    run = make_run("run", training__epochs=1)
    for event in train(run, timing=EVERY_STEP):
        if event["type"] == "prepare" and event.get("what") == "patches":
            run.request("stop")
    assert run.status().state == "stopped" and not run.has_model
    assert "it was in the patch phase" in run.status().reason
    assert list(train(run, resume=True))[-1]["state"] == "done"


def other_manifest(tmp_path: Path, **changes: Any) -> Path:
    """Twelve other images with lesions, of patients q00 to q11, in a manifest of their own."""
    folder = tmp_path / "other"
    folder.mkdir()
    frame = with_lesions(draw_frame(folder / "images")).iloc[:12]
    frame = frame.assign(patient_id=[f"q{number:02}" for number in range(12)], split="")
    rng = np.random.default_rng(1)
    for path in frame["path"]:  # other pictures than the run's
        cv2.imwrite(path, np.clip(rng.integers(0, 90, (SIDE, SIDE)) + cv2.imread(path, 0) // 2, 0, 255).astype(np.uint8))
    write_manifest(frame.assign(**changes), folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def trained_on_others(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with patches of another manifest: of a patient each whom it validates, tests and trains on, of seven of nobody
    else's, and of one of whom it validates another image, without a lesion and under another name."""
    folder = tmp_path_factory.mktemp("others")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        frame = with_lesions(draw_frame(folder / "images"))
        patients = ["p20", "p30", "p03", *(f"q{min(number, 10):02}" for number in range(3, 12))]
        path = other_manifest(folder, patient_id=patients)
        rows = read_manifest(path)
        rows.loc[11, "lesions"] = ""  # of q10, whose other image has a lesion
        write_manifest(rows, path)
        judged = frame.loc[frame["split"] == "val", "path"].iloc[0]
        (path.parent / "images" / "11.png").write_bytes(Path(judged).read_bytes())
        changes = {"training__epochs": 1, "training__lesions__patch_manifest": path.as_posix()}
        run = Run.create(toy_config(folder / "runs", **(PATCHES | changes)), frame, name="run")
        list(train(run))
    return run


OTHERS = {"p03", *(f"q{number:02}" for number in range(3, 10))}  # who is left of them


@pytest.mark.slow
def test_patches_of_another_manifest_leave_out_whom_the_run_will_judge(trained_on_others: Run) -> None:
    run = trained_on_others
    used = run.patch_rows()
    assert used is not None and set(used["patient_id"]) == OTHERS
    assert (used["content_hash"].str.len() == 64).all()
    [warning] = [each["message"] for each in run.events() if each["type"] == "warning" and each.get("about") == "patches"]
    assert "3 images left out" in warning
    seen = run.seen_rows()
    assert set(seen.loc[seen["split"] == "train", "patient_id"]) >= set(used["patient_id"])
    assert len(seen) == len(run.manifest()) + len(used)


@pytest.mark.slow
def test_a_copy_of_a_validation_image_is_no_patch(make_run: MakeRun, frame: pd.DataFrame, tmp_path: Path) -> None:
    path = other_manifest(tmp_path)
    judged = frame.loc[frame["split"] == "val", "path"].iloc[0]
    (path.parent / "images" / "05.png").write_bytes(Path(judged).read_bytes())
    run = make_run("run", training__epochs=1, training__lesions__patch_manifest=path.as_posix())
    list(train(run))
    used = run.patch_rows()
    assert used is not None and "q05" not in set(used["patient_id"]) and len(used) == 11


@pytest.mark.slow
def test_what_an_attempt_without_a_checkpoint_chose_is_chosen_again(make_run: MakeRun, tmp_path: Path) -> None:
    path = other_manifest(tmp_path)
    run = make_run("run", training__epochs=1, training__lesions__patch_manifest=path.as_posix())
    write_manifest(read_manifest(path).iloc[:5].assign(lesions="no list", content_hash=""), run.path / "patches.csv")
    list(train(run))
    used = run.patch_rows()
    assert used is not None and len(used) == 12


@pytest.mark.slow
def test_a_resumed_patch_phase_needs_the_record_of_its_images(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("run", training__lesions__patch_manifest=other_manifest(tmp_path).as_posix())
    killed(run, 1)
    (run.path / "patches.csv").unlink()
    with pytest.raises(TrainingFailed, match=r"patches.csv: expected the images that this run cuts patches from"):
        list(train(run, resume=True))


@pytest.mark.slow
def test_a_fork_knows_what_the_patch_phases_before_it_have_seen(trained_on_others: Run, tmp_path: Path) -> None:
    run = Run.open(copied(trained_on_others.path.parent, tmp_path / "runs") / "run")
    child = fork(fork_with_model(run, "child"), name="grandchild")
    seen = child.seen_rows()
    assert child.patch_rows() is None and set(seen["patient_id"]) >= OTHERS
    assert (seen.loc[seen["patient_id"].str.startswith("q"), "split"] == "train").all()
    child.delete()
    (run.path / "patches.csv").unlink()
    with pytest.raises(BadManifest, match="nobody knows whom the network has seen"):
        run.seen_rows()


def fork_with_model(run: Run, name: str) -> Run:
    """A fork that has a model already: that of the run."""
    child = fork(run, name=name)
    for file in ("model.safetensors", "model.json"):
        shutil.copy(run.path / file, child.path / file)
    return child


@pytest.mark.slow
def test_a_test_split_of_the_patches_manifest_stays_unseen(make_run: MakeRun, tmp_path: Path) -> None:
    path = other_manifest(tmp_path, split=["train"] * 8 + ["test"] * 3 + [""])
    run = make_run("run", training__epochs=1, training__lesions__patch_manifest=path.as_posix())
    list(train(run))
    used = run.patch_rows()
    assert used is not None and set(used["patient_id"]) == {f"q{number:02}" for number in range(8)}


@pytest.mark.slow
def test_a_resumed_patch_phase_refuses_an_image_that_has_changed(make_run: MakeRun, tmp_path: Path) -> None:
    path = other_manifest(tmp_path)
    run = make_run("run", training__epochs=1, training__lesions__patch_manifest=path.as_posix())
    killed(run, 1)
    cv2.imwrite(str(path.parent / "images" / "03.png"), np.full((SIDE, SIDE), 90, np.uint8))
    with pytest.raises(TrainingFailed, match=r"03.png: the file has changed since this run cut patches from it"):
        list(train(run, resume=True))


@pytest.mark.parametrize(
    ("changes", "lesions", "error", "words"),
    [
        ({"training__lesions__patch_size": 65}, None, BadConfig, "a patch of 65 pixels does not fit"),
        ({}, "", NotEnoughData, "say where a lesion is"),
        ({"training__lesions__patch_manifest": "nowhere.csv"}, None, LabError, "nowhere.csv"),
        (
            {"training__lesions__patch_epochs": 0, "training__lesions__localization_weight": 1.0},
            "",
            NotEnoughData,
            "no malignant training image says where",
        ),
        (
            {"training__lesions__patch_epochs": 0, "training__lesions__localization_weight": 1.0},
            None,
            BadConfig,
            "the last layer of small_cnn does not see the mean",
        ),
    ],
)
def test_what_cannot_be_trained_with_lesions_is_refused_with_a_remedy(
    make_run: MakeRun, frame: pd.DataFrame, changes: dict[str, Any], lesions: str | None, error: type[LabError], words: str
) -> None:
    rows = frame if lesions is None else frame.assign(lesions=lesions)
    run = make_run("run", rows=rows, **changes)
    with pytest.raises(error, match=words):
        list(train(run))
    assert run.status().state == "failed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training__lesions__patch_size": 65}, "a patch of 65 pixels does not fit"),
        ({"training__lesions__patch_manifest": "nowhere.csv"}, "nowhere.csv"),
        ({"training__lesions__localization_weight": 1.0}, "last layer of small_cnn does not see the mean"),
        ({"training__lesions__localization_weight": 1.0, "augmentation__mixup": 0.4}, "mixup do not go together"),
        ({"training__lesions__localization_weight": 1.0, "model__name": "resnet18", "model__options": "{}"}, None),
    ],
)
def test_the_check_before_the_start_says_what_a_training_with_lesions_will_refuse(
    frame: pd.DataFrame, tmp_path: Path, changes: dict[str, Any], words: str | None
) -> None:
    found = preflight(toy_config(tmp_path, **(PATCHES | changes)), frame).problems
    assert not found if words is None else len(found) == 1 and words in found[0]


def test_a_patch_size_that_the_network_does_not_take_is_named(patches: PatchImages, tmp_path: Path) -> None:
    config = toy_config(tmp_path, **(PATCHES | NETWORK))
    model = build_model(config.model)
    model.name = "vit"
    model.check_input = lambda height, width: (_ for _ in ()).throw(BadConfig("vit"))  # type: ignore[method-assign]
    device = SimpleNamespace(device=torch.device("cpu"), type="cpu", use_grad_scaler=False)
    trainer = SimpleNamespace(config=config, model=model, device=device)
    with pytest.raises(BadConfig, match="patch_size: vit does not take patches of 32 x 32"):
        PatchPhase(trainer, replace(patches, size=32), patch_phase(config.training, pretrained=False))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- the loss on the activation map


def test_the_localization_loss_is_the_share_of_positive_evidence_outside() -> None:
    maps = torch.zeros(3, 2, 2, 2)
    maps[:, 0] = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    maps[:, 1] = torch.tensor([[0.0, 0.0], [5.0, 0.0]])  # against malignancy: not counted
    lesions = torch.zeros(3, 4, 4)
    lesions[0, 0, 0] = 1  # a single cell of the finer grid
    lesions[1, 3, 3] = 1
    found = localization_loss(maps, torch.tensor([1.0, -1.0]), lesions)
    assert found.tolist() == pytest.approx([0.25, 1.0, 0.0], abs=1e-5)


NETWORK = {
    "model__name": "mobilenetv2_050",
    "model__options": "{}",
    "training__lesions__patch_epochs": 0,
    "training__learning_rate": 3e-3,
}


@pytest.mark.slow
def test_a_network_that_is_drawn_to_lesions_has_more_of_its_map_there(tmp_path: Path, frame: pd.DataFrame) -> None:
    config = toy_config(tmp_path, **(PATCHES | NETWORK | {"training__lesions__localization_weight": 1.0}))
    torch.manual_seed(0)
    model = build_model(config.model)
    cells = np.zeros((4, 8, 8), np.uint8)
    cells[:, 0:4, 0:4] = 1
    localization = Localization(model, config, cells)
    images = torch.rand(4, 1, 64, 64)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        with localization.recording() as maps:
            model(images)
        loss = localization.loss(maps[0], torch.from_numpy(cells))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / 4)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.slow
def test_a_training_with_the_localization_loss_reports_the_loss_of_the_labels(make_run: MakeRun) -> None:
    drawn, plain = (
        make_run(name, training__epochs=1, **NETWORK, **more)
        for name, more in (("drawn", {"training__lesions__localization_weight": 5.0}), ("plain", {}))
    )
    losses = [next(event["train_loss"] for event in train(run) if event["type"] == "epoch") for run in (drawn, plain)]
    assert not torch.equal(weights(drawn)["backbone.conv_stem.weight"], weights(plain)["backbone.conv_stem.weight"])
    assert max(losses) < 3, "a weight of 5 would show"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augmentation__mixup": 0.4}, "augmentation.mixup do not go together"),
        ({"training__advanced__compile": True}, "training.advanced.compile do not go together"),
        ({"model__views": 2, "model__fusion": "concat"}, "an image has no map of its own"),
    ],
)
def test_settings_without_an_activation_map_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    config = toy_config(tmp_path, **(PATCHES | NETWORK | {"training__lesions__localization_weight": 1.0} | changes))
    with pytest.raises(BadConfig, match=words):
        Localization(build_model(config.model), config, np.zeros((1, 8, 8), np.uint8))
