"""What somebody may send as a run folder: each a function that spoils the folder of a sound run."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[Path], object]
DEEP = "[" * 200_000
LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)


def put(name: str, content: str | bytes) -> Spoil:
    data = content.encode("utf-8") if isinstance(content, str) else content

    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    return spoil


def status(**changes: object) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "status.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return spoil


def instead(name: str, make: Callable[[Path], object]) -> Spoil:
    """Something else in the place of a file or folder."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        make(path)

    return spoil


def link(name: str, target: str) -> Spoil:
    return instead(name, lambda path: path.symlink_to(target))


def pipe(name: str) -> Spoil:
    return instead(name, lambda path: os.mkfifo(path))  # looked up when it is made: Windows has none


def newest(spoil: Spoil) -> Spoil:
    """And made a moment ago, so that pages show it first."""

    def both(folder: Path) -> None:
        status(created=time.time())(folder)
        spoil(folder)

    return both


# What is wrong is said on the Runs page and by `python -m core runs`, with the name of the file or entry.
DAMAGED: dict[str, tuple[Spoil, str]] = {
    "status of 401 digits": (put("status.json", '{"created": 1' + "0" * 400 + "}"), "status.json"),
    "status too deep": (put("status.json", f'{{"created": {DEEP}'), "status.json"),
    "status too large": (put("status.json", " " * 2_000_000 + "{}"), "status.json"),
    "status no number": (status(epoch=-5), "status.json"),
    "status pid": (status(pid=2**40), "status.json"),
    "status year 1e300": (status(started=1e300), "status.json"),
    "status is a folder": (instead("status.json", lambda path: path.mkdir()), "status.json"),
    "evaluation too deep": (put("evaluation.json", f'{{"test": {DEEP}'), "evaluation.json"),
    "evaluation opened many": (put("evaluation.json", '{"test": {"opened": "many"}}'), "evaluation.json"),
    "evaluation opened huge": (put("evaluation.json", '{"test": {"opened": 1e300}}'), "evaluation.json"),
    "config too deep": (put("config.yaml", "[" * 20_000), "config.yaml"),
    "config of aliases": (put("config.yaml", LAUGHS), "config.yaml"),
    "config no date": (put("config.yaml", "checkpoints: 2001-99-99"), "config.yaml"),
    "config huge number": (put("config.yaml", "training: {epochs: " + "9" * 5000 + "}"), "config.yaml"),
    "model too deep": (put("model.json", DEEP), "model.json"),
    "predictions no table": (put("predictions/val.csv", "a,b\n1\n"), "val.csv"),
    "predictions of scores beyond 1": (
        put("predictions/val.csv", "path,patient_id,laterality,view,label,split,score\na,b,L,CC,benign,val,9\n"),
        "val.csv",
    ),
}
# Entries that lead elsewhere, or would be waited for: everything but listing and deleting refuses the run.
IRREGULAR: dict[str, tuple[Spoil, str]] = {
    "note is a device": (link("note.txt", "/dev/zero"), "note.txt"),
    "note is another file": (link("note.txt", "/etc/passwd"), "note.txt"),
    "note is a pipe": (pipe("note.txt"), "note.txt"),
    "status is a device": (link("status.json", "/dev/zero"), "status.json"),
    "status is a pipe": (pipe("status.json"), "status.json"),
    "config is a device": (link("config.yaml", "/dev/zero"), "config.yaml"),
    "config is a pipe": (pipe("config.yaml"), "config.yaml"),
    "manifest is a pipe": (pipe("manifest.csv"), "manifest.csv"),
    "manifest is another file": (link("manifest.csv", "/etc/passwd"), "manifest.csv"),
    "events is a pipe": (pipe("events.jsonl"), "events.jsonl"),
    "events is a device": (link("events.jsonl", "/dev/zero"), "events.jsonl"),
    "model is a pipe": (pipe("model.json"), "model.json"),
    "weights are a link": (link("model.safetensors", "/dev/zero"), "model.safetensors"),
    "evaluation is a device": (link("evaluation.json", "/dev/zero"), "evaluation.json"),
    "parent is a pipe": (pipe("parent.json"), "parent.json"),
    "excluded is a pipe": (pipe("excluded.csv"), "excluded.csv"),
    "predictions are a pipe": (pipe("predictions/val.csv"), "predictions/val.csv"),
    "predictions lead elsewhere": (link("predictions", "/tmp"), "predictions"),
    "predictions are a file": (instead("predictions", lambda path: path.touch()), "predictions"),
    "explain leads elsewhere": (link("explain", "/tmp"), "explain"),
    "control leads elsewhere": (link("control", "/tmp"), "control"),
    "log is a link": (link("train.log", "/nowhere/else"), "train.log"),
    "lock is a pipe": (pipe(".lock"), ".lock"),
    "lock is a link": (link(".lock", "/nowhere/else"), ".lock"),
    "lock of figures is a pipe": (pipe(".evaluation.lock"), ".evaluation.lock"),
    "an unknown link": (link("anything", "/etc"), "anything"),
    "a link in explain": (link("explain/audit-val.json", "/etc/passwd"), "explain/audit-val.json"),
    "checkpoint is a pipe": (pipe("last.pt"), "last.pt"),
}
