"""The commands that put images to a model: `predict` and `explain`; and `gate`, which fits what a model should not judge."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.access_recording import record_files
from core.cli.arguments import Commands, add_command, frame_option, json_option, run_argument, score_anyway_option
from core.cli.image_files import ImageFiles
from core.cli.output import new_file, note, print_json, print_table, progress_bar
from core.cli.result_page import write_result_page
from core.cli.workspace import open_run
from core.errors import BadRun, Refused

# First lines of the tables that `predict` writes: now, and before there was a column `refusal`.
_CSV_HEADS = (b"file,score,calibrated,decision,refusal,note", b"file,score,calibrated,decision,note")

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap
    from core.predict import Predictor
    from core.prediction import BreastImage, Prediction

Progress = Callable[[int, int], None]


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "predict", predict, "predict scores and decisions for image files")
    run_argument(parser)
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        action=ImageFiles,
        help="images, folders, or patterns such as '*.png'",
    )
    frame_option(parser)
    score_anyway_option(parser)
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="M.csv",
        help="with a model of two views: which of the files are of one breast, and their views (default: the run's manifest, "
        "DICOM headers, then file names such as P7_L_CC.png)",
    )
    parser.add_argument("--csv", type=Path, metavar="out.csv", help="write the table to this file")
    parser.add_argument(
        "--pdf",
        type=Path,
        metavar="out.pdf",
        help="of one image, or of the images of one breast: write the result with its heatmap on a page, without file names",
    )
    json_option(parser)

    parser = add_command(commands, "explain", explain, "draw a heatmap over the model's input, or over the original image")
    run_argument(parser)
    parser.add_argument(
        "file",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="one image file; with a model of two views all images of one breast: each gets a picture of its own",
    )
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

    parser = add_command(commands, "gate", gate, "fit again the input gate, which decides what images a model should judge")
    run_argument(parser)
    json_option(parser)


def predict(arguments: argparse.Namespace) -> int:
    """Print verdicts; a file that cannot be read or gets none is listed with its reason and makes the exit code 1."""
    from core.data import read_manifest
    from core.data.known_images import KnownImages
    from core.metrics.chance import warning_of
    from core.predict import Predictor
    from core.runs.test_set.accesses import PREDICTION
    from core.verdict_table import verdict_rows

    if arguments.csv:
        new_file(arguments.csv, ".csv", arguments.files, lambda head: head.startswith(_CSV_HEADS))
    if arguments.pdf:
        new_file(arguments.pdf, ".pdf", arguments.files)
    run = open_run(arguments.run)
    predictor = Predictor.from_run(run.path)
    record_files(arguments.files, PREDICTION, "predict", root=run.path.parent, run=run.path)
    with progress_bar("predicting") as progress:
        known = None if arguments.manifest is None else KnownImages(read_manifest(arguments.manifest))
        wanted = {"frame": arguments.frame, "known": known, "score_anyway": arguments.score_anyway}
        rows = [judged.row for judged in verdict_rows(predictor, arguments.files, progress, **wanted)]
    if arguments.csv:
        import pandas as pd

        from core.files.spreadsheet import spreadsheet_csv

        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        arguments.csv.write_text(spreadsheet_csv(pd.DataFrame(rows)), encoding="utf-8", newline="")
        note(f"written: {arguments.csv}")
    if arguments.json:
        summary = {"run": run.name, "threshold": predictor.threshold, "view_thresholds": dict(predictor.thresholds.views)}
        print_json(summary | {"chance": predictor.chance or None, "predictions": rows})
    else:
        first = ("breast",) if predictor.judges_breasts else ("file",)
        print_table([_prediction_line(row) for row in rows], (*first, "score", "calibrated", "decision", "note"))
        by_view = predictor.thresholds.words
        threshold = f"thresholds by view ({by_view})" if by_view else f"threshold {predictor.threshold:.3f}"
        threshold += ", chosen on validation"
        note(f"score: from 0 to 1, higher is more suspicious, no probability; {threshold}. Research use only.")
        if any(row["refusal"] for row in rows) and not arguments.score_anyway:
            note("--score-anyway gives a score, but no decision, to readable images without a verdict.")
        if predictor.chance:
            note(f"warning: {warning_of(predictor.chance)}")
    if arguments.pdf:
        write_result_page(arguments.pdf, run, predictor, arguments.files, rows, **wanted)
    return 0 if all(row["score"] is not None for row in rows) else 1


def _prediction_line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the printed table; the score of an image without a verdict is marked."""
    numbers = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("score", "calibrated")]
    if row["refusal"] and numbers[0]:
        numbers[0] += " (scored anyway)"
    decision = row["decision"] or "no verdict"
    if row["decision"] and row["threshold_basis"]:
        decision += f" (threshold {row['threshold']:.3f}, {row['threshold_basis']})"
    return (row["file"], *numbers, decision, row["note"])


def explain(arguments: argparse.Namespace) -> int:
    """Write a heatmap overlay; of a breast one for each of its images."""
    from core.predict import Predictor
    from core.runs.test_set.accesses import HEATMAPS

    run = open_run(arguments.run)
    predictor = Predictor.from_run(run.path)
    targets = _targets(arguments.out, len(arguments.file))
    for target in targets:
        new_file(target, ".png", arguments.file, _is_overlay)
    if len(targets) > 1 and not predictor.judges_breasts:
        raise BadRun("explain: this model judges single images: give one file")
    record_files(arguments.file, HEATMAPS, "explain", root=run.path.parent, run=run.path)
    if len(targets) > 1:
        return _explain_breast(predictor, arguments, targets)
    file = arguments.file[0]
    prediction = predictor.predict(file, frame=arguments.frame, score_anyway=arguments.score_anyway)
    if prediction.score is None:
        raise Refused(f"{file.name}: {prediction.verdict} --score-anyway gives its score and heatmap all the same.")
    with progress_bar("masking the image", "map") as progress:
        heat: Heatmap | Evidence
        if arguments.target == "both":
            heat = predictor.evidence(prediction, progress=progress, **_map_options(arguments))
        else:
            heat = predictor.explain(prediction, target=arguments.target, progress=progress, **_map_options(arguments))
    _write_overlay(arguments, targets[0], prediction, heat)
    print(f"{targets[0].as_posix()}: score {prediction.score:.3f} ({_judged(prediction)}), {_map_words(arguments, heat)}")
    _map_notes(predictor, heat)
    for warning in prediction.warnings:
        note(f"warning: {warning}")
    return 0


def _explain_breast(predictor: Predictor, arguments: argparse.Namespace, targets: list[Path]) -> int:
    from core.predict_breasts import explain_breast, predict_breast, views_of

    files: list[Path] = arguments.file
    breast = predict_breast(predictor, files, views=views_of(predictor, files), score_anyway=arguments.score_anyway)
    if breast.score is None:
        raise Refused(f"{breast.verdict} --score-anyway gives its score and heatmaps all the same.")
    heats = explain_breast(predictor, breast, target=arguments.target, **_map_options(arguments))
    decision = breast.decision or f"scored anyway; {breast.verdict.rstrip('.')}"
    calibrated = "" if breast.calibrated is None else f", calibrated {breast.calibrated:.3f}"
    print(f"breast ({breast.views or 'views not known'}): score {breast.score:.3f} ({decision}{calibrated})")
    for image, heat in zip(breast.used, heats, strict=True):
        target = targets[files.index(image.path)] if image.path is not None else targets[0]
        _write_overlay(arguments, target, image, heat)
        print(f"{target.as_posix()}: {image.view or 'unknown view'}, {_map_words(arguments, heat)}{_peak_words(heat)}")
        _map_notes(predictor, heat)
    for warning in breast.warnings:
        note(f"warning: {warning}")
    return 0


def _targets(out: Path, count: int) -> list[Path]:
    """overlay.png; of several images overlay-1.png, overlay-2.png, ..."""
    return [out] if count == 1 else [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(1, count + 1)]


def _map_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"method": arguments.method, "layer": arguments.layer, "channels": arguments.channels}


def _write_overlay(
    arguments: argparse.Namespace, target: Path, image: Prediction | BreastImage, heat: Heatmap | Evidence
) -> None:
    from core.gradcam import overlay
    from core.images.encode import encode_png, to_uint8
    from core.preprocessing import original_from_prepared

    if arguments.original:
        assert image.mammogram is not None
        original = image.mammogram.pixels
        values = original_from_prepared(heat.values, image.prepared, original.shape)
        picture = overlay(to_uint8(original), values, arguments.opacity, arguments.colormap, signed=arguments.target == "both")
    else:
        picture = overlay(image.prepared, heat, arguments.opacity, arguments.colormap)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode_png(picture))


def _map_words(arguments: argparse.Namespace, heat: Heatmap | Evidence) -> str:
    return f"evidence for {arguments.target}, {heat.method} at {heat.layer}, {heat.cells[1]} × {heat.cells[0]} cells"


def _peak_words(heat: Heatmap | Evidence) -> str:
    """How strong the strongest evidence is, by which the maps of one breast are compared: each is scaled for itself."""
    peak = heat.peak if hasattr(heat, "peak") else max(heat.malignant.peak, heat.benign.peak)
    return f", strongest {peak:.3g}"


def _map_notes(predictor: Predictor, heat: Heatmap | Evidence) -> None:
    from core.gradcam import unfit_methods

    if heat.reason:
        note(f"warning: {'the heatmap is empty' if heat.flat else 'one of the two maps is empty'}: {heat.reason}")
    against = unfit_methods(predictor.model, heat.layer or None).get(heat.method)
    if against:
        note(f"warning: {heat.method} does not fit {predictor.model.name} here: {against}")


def _is_overlay(head: bytes) -> bool:
    """Whether a PNG is in colour, as overlays are and mammograms are not."""
    return head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and head[25:26] == b"\x02"


def _judged(prediction: Prediction) -> str:
    """The decision and, for a calibrated model, the probability; of an image without a verdict why there is none."""
    if prediction.decision is None:
        return f"scored anyway; {prediction.verdict[0].lower()}{prediction.verdict[1:].rstrip('.')}"
    at = f" at the threshold {prediction.threshold_words}" if prediction.threshold_basis else ""
    return prediction.decision + at + ("" if prediction.calibrated is None else f", calibrated {prediction.calibrated:.3f}")


def gate(arguments: argparse.Namespace) -> int:
    """Fit the input gate of a run's model again."""
    from core.data.cache import PreparedCache
    from core.files.paths import cache_root
    from core.predict import Predictor

    run = open_run(arguments.run)
    lock = run.acquire()  # a training would replace the weights meanwhile
    try:
        predictor = Predictor.from_run(run.path)
        with progress_bar("reading images") as progress:
            found = predictor.fit_gate(run.path, run.manifest(), PreparedCache(cache_root(), predictor.recipe), progress)
    finally:
        lock.release()
    result = {"run": run.name, "train": found.train, "validation": found.validation, "refuses": found.refuses}
    if arguments.json:
        print_json(result | {"limit": found.limit})
        return 0
    what = "images beyond the limit get no verdict" if found.refuses else "too few images to refuse any: only a warning"
    print(f"{run.name}: fitted on {found.learned_from}; {what}")
    return 0
