"""`python -m benchmarks [NAME ...]`: run the named measurements; without a name, say which there are."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

# A module of this package each, with a function `run`.
BENCHMARKS = {
    "coverage": "how often 95 % intervals of an AUC and of a difference hold the truth, on a grid (minutes)",
    "decode": "every DICOM transfer syntax against plain pydicom",
    "epoch": "a warm epoch against the same model on tensors in memory, a plain PyTorch loop and fastai",
    "evaluate": "intervals and comparisons against scikit-learn in a loop",
    "explain": "heatmaps against a forward pass of the same image, and a model that stays loaded",
    "fuzz": "thousands of damaged files: what is read, refused, crashes or hangs, in time and memory",
    "gate": "what gets no verdict: pictures that are no mammograms, own mammograms, those of another source",
    "head": "the head phase on kept features against stepping the frozen network every epoch",
    "imports": "collections with their real tables and stub images: the counts, and files a second by headers only",
    "leakage": "copies among real mammograms by kind of alteration, false alarms, times, and the growth of the search",
    "lesions": "a probe on features before and after a patch phase, by number of patients, and where its maps peak",
    "loading": "a saved model into memory, against timm's usual way with the same file",
    "memory": "peak memory from a file to the model's input, in bytes a pixel, at the largest size that is read",
    "pooled_coverage": "how often a study's intervals hold the truth: cross-validations of models that are really trained",
    "prepare": "file to model input, images/s on 1 and 2 workers, against pydicom, scikit-image and PIL",
    "preview": "slider to picture, in the server and in Chromium, idle and while a training runs",
    "quality": "AUC on real images at an equal budget of processor minutes, against fastai and a linear probe (hours)",
    "resume": "what a kill costs: work lost, seconds to go on, checkpoints as a share of an epoch; and that it changes nothing",
    "sheets": "contact sheets of what the preprocessing does to every image of a manifest",
    "tiles": "tiles of the image viewer, of a 16-bit image of 14 megapixels, in the server and in Chromium",
    "views": "two views of a breast fused against averaged scores of one, per breast, on frozen features of real images",
    "ui": "interactions with the pages in Chromium, idle, while EfficientNet-B0 trains, and with 100,000 steps shown",
}


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if not names:
        for name, text in BENCHMARKS.items():
            print(f"{name}: {text}")
    for name in names:
        print(f"== {name}: {BENCHMARKS[name]}")
        import_module(f"benchmarks.{name}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
