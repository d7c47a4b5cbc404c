"""What a training step of an architecture costs on this machine: measured when somebody asks, then stored on disk.

The steps are made in a process of their own, whose memory is then that of one training, and which the system may end without
taking anything else along. `python -m core.training.model_costs` is that process.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import core
from core.config import Config, ModelConfig
from core.errors import LabError, TrainingFailed
from core.files.atomic import write_text
from core.files.paths import cache_home
from core.files.typed import from_plain, to_plain
from core.files.untrusted import read_json

_LONGEST = 900.0  # seconds that one architecture may take
_SAMPLES = 0.01  # seconds between two looks at the memory
_RESULT = "result: "


@dataclass(frozen=True)
class ModelCosts:
    """A training step of the whole network: `seconds` for `batch_size` images on `device`, in `precision`, and the `memory`
    (bytes) that it needs beside the libraries: of the GPU, or of the computer. `measured`: when, ISO 8601."""

    seconds: float
    batch_size: int
    memory: int
    device: str
    precision: str
    measured: str

    @property
    def images_per_second(self) -> float:
        return self.batch_size / self.seconds


def known_costs(config: Config) -> ModelCosts | None:
    """What was measured on this machine for such steps, with these versions of torch and timm; None where nothing was."""
    try:
        return from_plain(ModelCosts, read_json(_file(config)))
    except (OSError, ValueError):
        return None


def measure_costs(config: Config) -> ModelCosts:
    """Make a few training steps on random images, in a process of its own, and keep what they cost. Takes up to some minutes.

    Raises:
        LabError: the network cannot be built, or does not fit into the memory.
    """
    plain = config.model_copy(update={"model": _untrained(config.model)}).model_dump_json()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_root(), os.environ.get("PYTHONPATH"))))}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=plain,
            capture_output=True,
            encoding="utf-8",
            timeout=_LONGEST,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrainingFailed(f"{config.model.name}: a training step could not be measured: {error}") from error
    found = [line.removeprefix(_RESULT) for line in done.stdout.splitlines() if line.startswith(_RESULT)]
    if not found:
        words = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise TrainingFailed(
            f"{config.model.name}: a training step could not be measured: its process ended with {done.returncode} "
            f"({words[:200]}). Where the memory is too small, set preprocessing.size or training.batch_size lower."
        )
    result = json.loads(found[-1])
    if "error" in result:
        raise TrainingFailed(f"{config.model.name}: {result['error']}")
    costs = from_plain(ModelCosts, result)
    with suppress(OSError):  # a cache that cannot be written to: measured again next time
        path = _file(config)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(to_plain(costs)) + "\n")
    return costs


def _untrained(model: ModelConfig) -> ModelConfig:
    """The same network: its weights do not change the time."""
    return model.model_copy(update={"weights": "none"})


def _root() -> str:
    return str(Path(core.__file__).parents[1])


def _file(config: Config) -> Path:
    training = config.training
    parts: dict[str, Any] = {
        "machine": [platform.node(), platform.machine(), platform.processor(), os.cpu_count()],
        "versions": [metadata.version("torch"), metadata.version("timm")],
        "model": _untrained(config.model).model_dump(mode="json"),
        "shape": config.preprocessing.shape,
        "training": [training.batch_size, training.device, training.precision, training.advanced.threads],
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    return cache_home() / "model-costs" / f"{key}.json"


# ---------------------------------------------------------------------- the process


def _measured(config: Config) -> ModelCosts:
    import torch

    from core.model import build_model
    from core.model.device import pick_device_config
    from core.training.device import choose_precision, images_per_second, thread_count
    from core.training.setup import require_room

    device = pick_device_config(config.training)
    torch.set_num_threads(thread_count(config.training, shares_machine=False))
    require_room(config, device.device)
    model = build_model(config.model).to(device.device).to(memory_format=torch.channels_last)
    model.check_input(*config.preprocessing.shape)
    with _PeakMemory() as peak:
        chosen, rates = choose_precision(device, model, config)
        rates = rates or images_per_second(model, config, [chosen])
    weights = sum(parameter.nbytes for parameter in model.parameters())
    used = torch.cuda.max_memory_allocated(device.device) if device.type == "cuda" else peak.used + weights
    size = config.training.batch_size
    return ModelCosts(
        seconds=size / rates[chosen.precision],
        batch_size=size,
        memory=used + 2 * weights,  # the optimizer's averages; the copy that the steps are made with stands for that of weights
        device=device.name,
        precision=chosen.precision,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class _PeakMemory:
    """Within the block: how much more memory (bytes) the process holds at most than at its beginning."""

    def __init__(self) -> None:
        self.used = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _PeakMemory:
        import psutil

        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            self.used = max(self.used, self._process.memory_info().rss - self._before)
            time.sleep(_SAMPLES)


def _end_with(parent: int) -> None:
    """End this process when the one that asked has been killed: nobody waits for the answer, and it holds gigabytes."""
    import psutil

    while psutil.pid_exists(parent) and os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def main() -> int:
    """Read a configuration from standard input, print what its steps cost."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    config = Config.model_validate_json(sys.stdin.read())
    result: dict[str, Any]
    try:
        result = to_plain(_measured(config))
    except (LabError, RuntimeError, MemoryError) as error:
        result = {"error": str(error) or type(error).__name__}
    sys.stdout.write(f"{_RESULT}{json.dumps(result)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
