"""Results of hours are gone on with only where they were made with the same images and settings."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import quality, quality_settings
from benchmarks.timing import processor_seconds

PREFIX = quality_settings.PREFIX
METHODS = ("ours", "fastai", "probe")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The benchmark with these settings, its methods replaced; what it had to compute."""
    monkeypatch.setattr(quality, "table", lambda results, frame: "")
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    write_manifest(tmp_path / "rows.csv")
    computed: list[str] = []

    def method(name: str) -> Callable[[pd.DataFrame, quality.Budget], np.ndarray]:
        def score(rows: pd.DataFrame, budget: quality.Budget) -> np.ndarray:
            computed.append(name)
            if name == "fastai":
                known = tmp_path / "results" / quality_settings.EPOCH
                assert known.exists() or known.write_text("1.5 2.5\n" + json.dumps(epoch_settings(rows)), encoding="utf-8")
            return np.linspace(0, 1, (rows["split"] == "test").sum())

        return score

    for name in METHODS:
        monkeypatch.setattr(quality, f"_{name}", method(name))

    def run(**settings: str) -> list[str]:
        computed.clear()
        files = {"MANIFEST": "rows.csv", "WEIGHTS": "weights.safetensors", "RESULTS": "results"}
        wanted = {name: str(tmp_path / file) for name, file in files.items()} | {"FOLDS": "0", "METHODS": " ".join(METHODS)}
        with monkeypatch.context() as environment:
            for name in [name for name in os.environ if name.startswith(PREFIX)]:
                environment.delenv(name)
            for name, value in (wanted | settings).items():
                environment.setenv(PREFIX + name, value)
            quality.run()
        return list(computed)

    return run


def epoch_settings(rows: pd.DataFrame) -> dict[str, str]:
    return quality_settings.of_epoch(quality_settings.decisive("fastai", rows))


def write_manifest(path: Path, patients: int = 60, swapped: bool = False) -> Path:
    lines = ["path,label,patient_id,laterality,view,split"]
    for number in range(patients):
        label = "malignant" if (number % 3 == 0) != (swapped and number < 2) else "benign"
        lines.append(f"{number}.png,{label},P{number},L,CC,train")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_later_call_with_the_same_settings_goes_on(call: Callable[..., list[str]]) -> None:
    assert call() == list(METHODS)
    assert call(MODEL="mobilenetv2_100   pad_type=same mean=0.5 std=0.5", MINUTES="15.0") == []
    assert call(FOLDS="0 1") == list(METHODS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "refused", "differs"),
    [
        ({"MINUTES": "30"}, ("ours", "fastai"), "MINUTES was '15.0', is '30.0'"),
        ({"MODEL": "resnet18"}, METHODS, "MODEL was 'mobilenetv2_100 pad_type=same mean=0.5 std=0.5', is 'resnet18'"),
        ({"SET": "training.advanced.ema_decay=0"}, ("ours", "probe"), "SET was '', is 'training.advanced.ema_decay=0'"),
    ],
)
def test_results_of_other_settings_are_refused_where_they_matter(
    call: Callable[..., list[str]], changes: dict[str, str], refused: tuple[str, ...], differs: str
) -> None:
    call()
    for method in METHODS:
        if method not in refused:
            assert call(METHODS=method, **changes) == []
            continue
        with pytest.raises(SystemExit) as refusal:
            call(METHODS=method, FOLDS="3", **changes)  # of another fold it would stand in one line with the first
        said = str(refusal.value)
        assert f"{method}-0.json was made with other settings" in said and differs in said
        assert "MAMMOLAB_QUALITY_RESULTS to another folder" in said and "MAMMOLAB_QUALITY_NAME" in said
    assert call(METHODS="ours", NAME="other", **changes) == ["ours"]
    assert call(METHODS=" ".join(METHODS)) == [], "an ablation beside them does not disturb"


def test_other_weights_in_the_same_file_and_another_manifest_are_refused(
    call: Callable[..., list[str]], tmp_path: Path
) -> None:
    call()
    other = write_manifest(tmp_path / "other.csv", swapped=True)
    for name in ("", "other"):  # nothing of another manifest may stand in the same table
        with pytest.raises(SystemExit, match="MANIFEST was"):
            call(METHODS="ours", NAME=name, MANIFEST=str(other))
    (tmp_path / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(SystemExit, match="WEIGHTS was"):
        call(METHODS="probe")


def test_an_epoch_of_fastai_measured_with_another_model_is_refused(call: Callable[..., list[str]], tmp_path: Path) -> None:
    call()
    (tmp_path / "results" / "fastai-0.json").unlink()
    assert call(METHODS="fastai", MINUTES="30") == ["fastai"], "an epoch takes as long whatever the budget"
    (tmp_path / "results" / "fastai-0.json").unlink()
    with pytest.raises(SystemExit, match=r"fastai-epoch.txt was made with other settings.*MODEL"):
        call(METHODS="fastai", MODEL="resnet18")


def test_files_from_before_settings_were_kept_are_taken_with_a_word(
    call: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call()
    results = tmp_path / "results"
    for path in results.glob(quality_settings.FILES):
        old = json.loads(path.read_text(encoding="utf-8"))
        del old["settings"]
        path.write_text(json.dumps(old), encoding="utf-8")
    (results / quality_settings.EPOCH).write_text("1.5 2.5", encoding="utf-8")
    capsys.readouterr()
    assert call(MINUTES="30") == []
    assert capsys.readouterr().out.count("is not known") == 4
    more = write_manifest(tmp_path / "more.csv", patients=70)
    with pytest.raises(SystemExit, match="its images are not those of fold 0 of this manifest"):
        call(MANIFEST=str(more))


def test_the_epoch_of_fastai_is_kept_with_its_settings(
    call: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "_learner", lambda rows: pytest.fail("it was measured already"))
    known = tmp_path / "epoch.txt"
    known.write_text('1.5 2.5\n{"MODEL": "any"}', encoding="utf-8")
    assert quality._fastai_epoch_seconds(pd.DataFrame(), known) == (1.5, 2.5)
    known.write_text("3.0 4.0", encoding="utf-8")
    assert quality._fastai_epoch_seconds(pd.DataFrame(), known) == (3.0, 4.0)


def test_processor_time_counts_this_process_and_on_posix_its_ended_children() -> None:
    began, own = processor_seconds(), time.process_time()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    spent, own = processor_seconds() - began, time.process_time() - own
    assert spent - own >= (0.0 if sys.platform == "win32" else 0.28)
    assert own <= spent


def test_no_benchmark_needs_a_module_that_only_posix_has() -> None:
    lacking = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"}
    modules = sorted(Path(quality.__file__).parent.glob("*.py"))
    assert len(modules) > 10
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not lacking.intersection(names), path.name
