"""Heatmaps against a forward pass of the same image, and what a loaded model that stays loaded saves.

Rounds are interleaved (a forward pass, then each method), so that whatever else the machine does strikes all of them;
a ratio is the median of the rounds' ratios, of time on the clock and, in brackets, of processor time, which other work on
the machine does not stretch. Weights are random: they do not change how long anything takes.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import ModelConfig, Recipe
from core.gradcam import METHODS, SLOW, heatmap, unfit_methods
from core.images.encode import encode_png
from core.model import Classifier, as_input, build_model, load_model, save_model

MODELS = ("small_cnn", "mobilenetv2_100", "efficientnet_b0", "densenet121", "resnet50")
SIZES = (256, 512)
ROUNDS = 5
LIMIT = 3.0  # what Grad-CAM may cost, in forward passes
MASKS = 8  # feature maps that Score-CAM tries here; its cost is a forward pass each

Seconds = tuple[float, float]  # on the clock, of processor time


def run() -> None:
    """Print every method's cost in forward passes, then the first and the later calls of a page."""
    torch.manual_seed(0)
    print(
        f"fp32, {torch.get_num_threads()} threads; cost of one heatmap in forward passes of the same image, median of {ROUNDS}"
    )
    print(f"{'':24}{'forward':>10}{''.join(f'{name:>14}' for name in METHODS)}   (scorecam: {MASKS} feature maps)")
    worst = ("", 0.0)
    for name in MODELS:
        model = build_model(ModelConfig(weights="none", name=name)).eval()
        for size in SIZES:
            seconds, ratios = _ratios(model, _pixels(size))
            cells = "".join(f"{_words(*ratios[method]):>14}" for method in METHODS)
            print(f"{f'{name} {size} × {size}':24}{seconds[0] * 1000:7.0f} ms{cells}", flush=True)
            worst = max(worst, (f"{name} {size}", ratios["gradcam"][0]), key=lambda entry: entry[1])
        print(f"{'':24}fits: {', '.join(method for method in METHODS if method not in unfit_methods(model))}")
    verdict = "within" if worst[1] <= LIMIT else "ABOVE"
    print(f"Grad-CAM: at most {worst[1]:.2f} forward passes ({worst[0]}), {verdict} the limit of {LIMIT:.0f}")
    _warm()


def _ratios(model: Classifier, pixels: NDArray[np.uint8]) -> tuple[Seconds, dict[str, Seconds]]:
    """(time of a forward pass, method -> cost in forward passes), medians over interleaved rounds."""
    images = as_input(pixels)

    def forward() -> None:
        with torch.inference_mode():
            model(images)

    calls: dict[str, Callable[[], object]] = {
        method: partial(heatmap, model, pixels, method=method, channels=MASKS) for method in METHODS
    }
    forward()
    passes: list[Seconds] = []
    ratios: dict[str, list[Seconds]] = {method: [] for method in METHODS}
    for number in range(ROUNDS):
        for method, call in calls.items():
            if method in SLOW and number > 1:  # all forward passes, and there are many
                continue
            if number == 0:
                call()  # whatever is made on first use
            passes.append(_time(forward))
            spent = _time(call)
            ratios[method].append((spent[0] / passes[-1][0], spent[1] / passes[-1][1]))
    return _median(passes), {method: _median(found) for method, found in ratios.items()}


def _median(found: list[Seconds]) -> Seconds:
    return statistics.median(clock for clock, _ in found), statistics.median(processor for _, processor in found)


def _warm() -> None:
    """What the Explain page waits for: the first heatmap of a run, that of the next image, the same one again."""
    for noisy in ("streamlit.runtime.caching.cache_data_api", "streamlit.runtime.scriptrunner_utils.script_run_context"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # there is no page here
    from dashboard.cache import images, results

    load = mock.patch("core.predict.load_model", wraps=load_model)
    with tempfile.TemporaryDirectory() as folder, load as loads:
        run, files = _random_run(Path(folder))
        for title, file in (("first call", files[0]), ("next image", files[1]), ("next image", files[2]), ("again", files[2])):
            seconds, _ = _time(partial(results.explanation, run, images.image_ref(file)))
            print(f"Explain page, {title}: {seconds * 1000:.0f} ms, model loaded {loads.call_count} time(s) so far")


def _random_run(folder: Path) -> tuple[Any, list[Path]]:
    """A run with random weights (EfficientNet-B0, 512 px), and three images for it."""
    from core.runs import Run

    recipe, config = Recipe(size=512), ModelConfig(weights="none", name="efficientnet_b0")
    card = {"model": config.model_dump(), "recipe": recipe.model_dump(), "recipe_hash": recipe.hash, "threshold": 0.5}
    save_model(folder / "run", build_model(config), card)
    files = [folder / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(encode_png(_breast(number)))
    return Run(folder / "run"), files


def _breast(seed: int) -> NDArray[np.uint8]:
    """Half an ellipse of noise on black, uint8 (2048, 1664)."""
    y, x = np.mgrid[0:2048, 0:1664]
    inside = (x / 1100) ** 2 + ((y - 1024) / 820) ** 2 < 1
    noise = np.random.default_rng(seed).integers(90, 200, inside.shape)
    return np.where(inside, noise, 0).astype(np.uint8)


def _pixels(size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8)


def _words(clock: float, processor: float) -> str:
    return f"{clock:.1f} ({processor:.1f})"


def _time(call: Callable[[], object]) -> Seconds:
    """(seconds on the clock, seconds of processor time)."""
    start, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - used
