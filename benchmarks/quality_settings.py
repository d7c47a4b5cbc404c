"""The settings of the benchmark "quality", and whether the results that it finds were made with them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pandas as pd

PREFIX = "MAMMOLAB_QUALITY_"
DEFAULTS = {
    "MODEL": "mobilenetv2_100 pad_type=same mean=0.5 std=0.5",
    "MINUTES": "15",
    "METHODS": "probe ours fastai",
    "FOLDS": "0 1 2 3 4",
    "SHARE": "1",
    "RESULTS": "benchmarks/results/quality",
}
FILES = "*-[0-9].json"  # a result each
EPOCH = "fastai-epoch.txt"  # a line of two numbers, then one with the settings they were measured with
_REMEDY = (
    f"Set {PREFIX}RESULTS to another folder (for ours with the same manifest, {PREFIX}NAME to another name will do), "
    "or go back to the settings of before."
)


def setting(name: str) -> str:
    """What the environment says, else the default, else ""."""
    return os.environ.get(PREFIX + name, "") or DEFAULTS.get(name, "")


def called(method: str) -> str:
    """What the results of a method are called in this call."""
    return (setting("NAME") or method) if method == "ours" else method


def fingerprint(frame: pd.DataFrame) -> str:
    """Of what decides folds and answers: the manifest's paths, labels and patients, in their order."""
    columns = frame[["path", "label", "patient_id"]].astype("str").to_numpy().tolist()
    return hashlib.sha256(json.dumps(columns).encode("ascii")).hexdigest()[:16]


def decisive(method: str, frame: pd.DataFrame) -> dict[str, str]:
    """The settings of this call that the results of a method depend on, as a result file keeps them."""
    with Path(setting("WEIGHTS")).open("rb") as stream:
        weights = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    settings = {"MANIFEST": fingerprint(frame), "WEIGHTS": weights, "MODEL": " ".join(setting("MODEL").split())}
    if method != "probe":  # it looks at each image once, whatever the budget
        settings["MINUTES"] = str(float(setting("MINUTES")))
    if method == "ours" and (epochs := setting("EPOCHS")):
        settings |= {"EPOCHS": str(int(epochs)), "MINUTES": ""}
    if method != "fastai":  # it has its own defaults
        settings["SET"] = " ".join(setting("SET").split())
    settings["SHARE"] = f"{float(setting('SHARE')):g}"
    return settings


def check(results: Path, wanted: dict[str, dict[str, str]], frame: pd.DataFrame) -> None:
    """Refuse to go on with, or to tell, results that were made with something else; `wanted`: the settings by name.

    Of a name that is not asked for, only the images must be the same: it may be an ablation of an earlier call. `frame` is
    the manifest with its column `fold`.

    Raises:
        SystemExit: saying which file, what differs, and what to do.
    """
    here = {"MANIFEST": fingerprint(frame)}
    for path in sorted(results.glob(FILES)):
        found = json.loads(path.read_text(encoding="utf-8"))
        _compare(path, found.get("settings"), wanted.get(found["method"], here))
        if set(found["scores"]) != set(frame.loc[frame["fold"] == found["fold"], "path"]):
            raise SystemExit(f"{path}: its images are not those of fold {found['fold']} of this manifest. {_REMEDY}")
    if "fastai" in wanted and (results / EPOCH).exists():
        _, _, before = (results / EPOCH).read_text(encoding="utf-8").partition("\n")
        _compare(results / EPOCH, json.loads(before) if before.strip() else None, of_epoch(wanted["fastai"]))


def of_epoch(settings: dict[str, str]) -> dict[str, str]:
    """Those of fastai's settings that an epoch's seconds depend on: not how many minutes there are."""
    return {key: value for key, value in settings.items() if key != "MINUTES"}


def _compare(path: Path, before: dict[str, str] | None, now: dict[str, str]) -> None:
    if before is None:
        print(f"{path}: made before settings were kept; whether they were those of this call is not known")
        return
    kept = {"SHARE": DEFAULTS["SHARE"]} | before  # results of earlier versions do not have it
    keys = dict.fromkeys([*now, *(["EPOCHS"] if "SET" in now and "EPOCHS" in kept else [])])
    differing = [f"{key} was {kept.get(key)!r}, is {now.get(key)!r}" for key in keys if kept.get(key) != now.get(key)]
    if differing:
        raise SystemExit(f"{path} was made with other settings than this call has: {'; '.join(differing)}. {_REMEDY}")
