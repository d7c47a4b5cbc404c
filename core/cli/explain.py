"""The command `explain`: a heatmap over an image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.access_recording import record_files
from core.cli.arguments import Commands, add_command, frame_option, run_argument, score_anyway_option
from core.cli.output import new_file, note, progress_bar
from core.cli.workspace import open_run
from core.errors import Refused

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap
    from core.predict import Prediction


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "explain", explain, "draw a heatmap over the model's input, or over the original image")
    run_argument(parser)
    parser.add_argument("file", type=Path, help="one image file")
    frame_option(parser)
    score_anyway_option(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="overlay.png", help="PNG file to write")
    parser.add_argument(
        "--method",
        default="auto",
        help="auto (what fits the architecture), gradcam, gradcam++, hirescam, layercam, eigencam, scorecam (slow)",
    )
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="layer to read the map from (default: the last one; an unknown name lists them all)",
    )
    parser.add_argument(
        "--target",
        choices=("malignant", "benign", "both"),
        default="malignant",
        help="class to show evidence for; both: malignant in orange, benign in blue (default: %(default)s)",
    )
    parser.add_argument("--original", action="store_true", help="draw over the original image at full size")
    parser.add_argument("--opacity", type=float, default=0.7, metavar="0..1", help="opacity (default: %(default)s)")
    parser.add_argument("--colormap", default="inferno", help="inferno, turbo, magma, viridis, cividis, jet")
    parser.add_argument(
        "--channels",
        type=int,
        default=128,
        metavar="N",
        help="feature maps for scorecam, 0 for all (default: %(default)s)",
    )


def explain(arguments: argparse.Namespace) -> int:
    """Write a heatmap overlay."""
    from core.gradcam import overlay, unfit_methods
    from core.images.encode import encode_png, to_uint8
    from core.predict import Predictor
    from core.preprocessing import original_from_prepared
    from core.runs.test_set.accesses import HEATMAPS

    new_file(arguments.out, ".png", [arguments.file], _is_overlay)
    run = open_run(arguments.run)
    predictor = Predictor.from_run(run.path)
    record_files([arguments.file], HEATMAPS, "explain", root=run.path.parent, run=run.path)
    prediction = predictor.predict(arguments.file, frame=arguments.frame, score_anyway=arguments.score_anyway)
    if prediction.score is None:
        raise Refused(f"{arguments.file.name}: {prediction.verdict} --score-anyway gives its score and heatmap all the same.")
    prepared = prediction.prepared
    wanted: dict[str, Any] = {"method": arguments.method, "layer": arguments.layer, "channels": arguments.channels}
    with progress_bar("masking the image", "map") as progress:
        heat: Heatmap | Evidence
        if arguments.target == "both":
            heat = predictor.evidence(prediction, progress=progress, **wanted)
        else:
            heat = predictor.explain(prediction, target=arguments.target, progress=progress, **wanted)
    if arguments.original:
        assert prediction.mammogram is not None
        original = prediction.mammogram.pixels
        values = original_from_prepared(heat.values, prepared, original.shape)
        picture = overlay(to_uint8(original), values, arguments.opacity, arguments.colormap, signed=arguments.target == "both")
    else:
        picture = overlay(prepared, heat, arguments.opacity, arguments.colormap)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(encode_png(picture))
    print(
        f"{arguments.out.as_posix()}: score {prediction.score:.3f} ({_judged(prediction)}), evidence for {arguments.target}, "
        f"{heat.method} at {heat.layer}, {heat.cells[1]} × {heat.cells[0]} cells"
    )
    if heat.reason:
        note(f"warning: {'the heatmap is empty' if heat.flat else 'one of the two maps is empty'}: {heat.reason}")
    against = unfit_methods(predictor.model, heat.layer or None).get(heat.method)
    if against:
        note(f"warning: {heat.method} does not fit {predictor.model.name} here: {against}")
    for warning in prediction.warnings:
        note(f"warning: {warning}")
    return 0


def _is_overlay(head: bytes) -> bool:
    """Whether a PNG is in colour, as overlays are and mammograms are not."""
    return head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and head[25:26] == b"\x02"


def _judged(prediction: Prediction) -> str:
    """The decision and, for a calibrated model, the probability; of an image without a verdict why there is none."""
    if prediction.decision is None:
        return f"scored anyway; {prediction.verdict[0].lower()}{prediction.verdict[1:].rstrip('.')}"
    return prediction.decision + ("" if prediction.calibrated is None else f", calibrated {prediction.calibrated:.3f}")
