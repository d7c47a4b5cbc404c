"""Who takes part in the benchmark "epoch": `python -m benchmarks.epoch_contestants NAME RUN PRECISION`.

Says {"precision": ...} as JSON when it is warm, then trains one epoch for each line it reads and says how long it took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pydicom

from benchmarks.timing import processor_seconds

MODEL, SIZE, BATCH, WORKERS = "mobilenetv2_100", 224, 16, 1

CONTESTANTS = {
    "ours": "a warm epoch, from its first batch to its last update, with augmentation, loss and progress told",
    "ceiling": "the same model, optimizer, precision and threads, its allocator and kernels too, on tensors in memory",
    "naive ceiling": "tensors in memory, the same precision and memory format, everything else as PyTorch has it",
    "plain": "a PyTorch loop in fp32 whose Dataset decodes, applies CLAHE and resizes each time",
    "fastai": "DataBlock and vision_learner with their defaults, the training part of Learner.fit, without augmentation",
}


@dataclass(frozen=True)
class Task:
    """A run's folder, for its images and settings, and the precision to compute in ("": to be chosen)."""

    run: str
    precision: str


@dataclass(frozen=True)
class Turn:
    """An epoch: its images, seconds, and processor seconds of all threads and, but on Windows, loader processes."""

    images: int
    seconds: float
    processor: float


class _Clock:
    """From its making to `turn`."""

    def __init__(self) -> None:
        self._began, self._used = time.perf_counter(), processor_seconds()

    def turn(self, images: int) -> Turn:
        return Turn(images, time.perf_counter() - self._began, processor_seconds() - self._used)


def main() -> None:
    """Warm up, then train at command; standard output is for the answers only."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # libraries' words go where errors go
    name, run, precision = sys.argv[1:]
    if name == "ours":
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `python -m core` has it
    makers: dict[str, Callable[[Task], Iterator[Turn | str]]] = {
        "ours": _ours,
        "ceiling": _ceiling,
        "naive ceiling": _naive_ceiling,
        "plain": _plain,
        "fastai": _fastai,
    }
    turns = makers[name](Task(run, precision))
    answers.write(json.dumps({"precision": next(turns)}) + "\n")
    for _ in sys.stdin:
        turn = next(turns)
        assert isinstance(turn, Turn)
        answers.write(json.dumps(asdict(turn)) + "\n")


# ---------------------------------------------------------------------- ours


def _ours(task: Task) -> Iterator[Turn | str]:
    from core.runs import Run
    from core.training.loop import train

    run = Run(Path(task.run))
    images, precision = len(_training_rows(task)), ""
    clock, warm = _Clock(), False
    for event in train(run):
        if event["type"] == "start":
            precision = event["precision"]
        if event["type"] == "step" and event["step"] == event["steps"]:
            turn = clock.turn(images)  # validation and checkpoint are none of the others' work
        if event["type"] == "epoch":
            yield turn if warm else precision
            clock, warm = _Clock(), True


# ---------------------------------------------------------------------- tensors in memory


def _ceiling(task: Task) -> Iterator[Turn | str]:
    import torch

    from core.training.cpu.depthwise_bf16 import patch_depthwise_bf16_backward
    from core.training.cpu.malloc import retain_freed_memory

    with ExitStack() as stack:
        stack.enter_context(retain_freed_memory(torch.device("cpu")))
        yield from _stepping(task, prepare=patch_depthwise_bf16_backward, fused=True)


def _naive_ceiling(task: Task) -> Iterator[Turn | str]:
    yield from _stepping(task, prepare=lambda model: 0, fused=None)


def _stepping(task: Task, *, prepare: Callable[[Any], int], fused: bool | None) -> Iterator[Turn | str]:
    import torch
    from torch import nn

    from core.config import ModelConfig
    from core.model import build_model
    from core.runs import Run
    from core.training.device import thread_count

    torch.set_num_threads(thread_count(Run(Path(task.run)).config().training, shares_machine=False))
    model = build_model(ModelConfig(weights="none", name=MODEL)).to(memory_format=torch.channels_last).train()
    prepare(model)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=fused)
    count = len(_training_rows(task))
    data = torch.rand(count, 1, SIZE, SIZE)
    answers = torch.arange(count, dtype=torch.float32) % 2

    def steps(wanted: int) -> None:
        for images, labels in zip(data[:wanted].split(BATCH), answers[:wanted].split(BATCH), strict=True):
            with torch.autocast("cpu", torch.bfloat16, enabled=task.precision == "bf16"):
                logits = model(images)
            nn.functional.binary_cross_entropy_with_logits(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    steps(3 * BATCH)
    yield task.precision
    while True:
        clock = _Clock()
        steps(count)
        yield clock.turn(count)


# ---------------------------------------------------------------------- what a user would write first


class _Decoded:
    """A Dataset of (image float32 (1, SIZE, SIZE), label), decoded anew each time."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.paths, self.labels = frame["path"].to_list(), (frame["label"] == "malignant").astype(float).to_list()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, float]:
        clear = cv2.createCLAHE(2.0, (8, 8)).apply(_grey(self.paths[index]))
        return cv2.resize(clear, (SIZE, SIZE)).astype(np.float32)[None] / 255, self.labels[index]


def _grey(path: str) -> Any:
    """uint8 (H, W)."""
    pixels = pydicom.dcmread(path).pixel_array if path.endswith(".dcm") else cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    return cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def _plain(task: Task) -> Iterator[Turn | str]:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    from core.config import ModelConfig
    from core.model import build_model

    model = build_model(ModelConfig(weights="none", name=MODEL)).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    data: Any = _Decoded(_training_rows(task))

    def epoch(rows: Any) -> int:
        done = 0
        for images, labels in DataLoader(rows, BATCH, shuffle=True, num_workers=WORKERS):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(images), labels.float()).backward()
            optimizer.step()
            done += len(images)
        return done

    epoch(torch.utils.data.Subset(data, range(min(2 * BATCH, len(data)))))
    yield "fp32"
    while True:
        clock = _Clock()
        yield clock.turn(epoch(data))


# ---------------------------------------------------------------------- fastai


def _fastai(task: Task) -> Iterator[Turn | str]:
    from fastai.vision.all import (
        Callback,
        CategoryBlock,
        ColReader,
        ColSplitter,
        DataBlock,
        ImageBlock,
        PILImage,
        Resize,
        vision_learner,
    )

    turns: list[Turn] = []

    class Timing(Callback):
        def before_train(self) -> None:
            self.clock = _Clock()

        def after_train(self) -> None:
            turns.append(self.clock.turn(len(self.dls.train_ds)))

    def opened(path: str) -> Any:
        return PILImage.create(_grey(path)[..., None].repeat(3, 2) if path.endswith(".dcm") else path)

    def learner(frame: pd.DataFrame) -> Any:
        block = DataBlock(
            blocks=(ImageBlock, CategoryBlock),
            get_x=lambda row: opened(row["path"]),
            get_y=ColReader("label"),
            splitter=ColSplitter(),
            item_tfms=Resize(SIZE),
        )
        table = frame.assign(is_valid=False)
        ends = pd.concat([table, table.iloc[:1].assign(is_valid=True)])  # validation is none of the others' work
        loaders = block.dataloaders(ends, bs=BATCH, num_workers=WORKERS, drop_last=False)
        return vision_learner(loaders, MODEL, pretrained=False, cbs=Timing())

    frame = _training_rows(task)
    both = pd.concat([group.head(BATCH) for _, group in frame.groupby("label")])
    warming, whole = learner(both), learner(frame)
    with warming.no_bar(), warming.no_logging():
        warming.fit(1)
    yield "fp32"
    with whole.no_bar(), whole.no_logging():
        while True:
            whole.fit(1)
            yield turns[-1]


def _training_rows(task: Task) -> pd.DataFrame:
    frame = pd.read_csv(Path(task.run) / "manifest.csv", dtype={"patient_id": str})
    return frame[frame["split"] == "train"].reset_index(drop=True)


if __name__ == "__main__":
    main()
