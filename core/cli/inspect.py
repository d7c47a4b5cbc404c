"""The command `inspect`: every step from one image file to the model's input."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.access_recording import record_files
from core.cli.arguments import Commands, add_command, frame_option, json_option, set_option
from core.cli.output import new_file, note, print_json, print_table
from core.errors import BadConfig

if TYPE_CHECKING:
    from core.config import Recipe
    from core.inspection import InspectedStage, Inspection


_HTML_TITLE = b"<title>Inspection, recipe "  # of the files that `inspect --html` writes


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "inspect", inspect, "show every step from an image file to the model's input")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="one image file")
    parser.add_argument("--recipe", type=Path, metavar="config.yaml", help="take the recipe from this file")
    set_option(parser)
    frame_option(parser)
    parser.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="the file's N-th VOI LUT or window, 0 for none; the same as --set preprocessing.voi_index=N",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the image after each step, at full size, as PNG")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="report.html",
        help="write everything to one HTML file, without a patient's name",
    )
    parser.add_argument("--pseudonym", action="store_true", help="also show the patient's pseudonym (not in the HTML)")
    json_option(parser)


def inspect(arguments: argparse.Namespace) -> int:
    """Show every step from file to model input."""
    from core.cli.workspace import default_config
    from core.config import load_config
    from core.inspection import SIDE, inspect, to_html
    from core.runs.test_set.accesses import IMAGES

    if len(arguments.files) != 1:
        raise BadConfig(f"inspect takes one file, got {len(arguments.files)}: call it once for each")
    file: Path = arguments.files[0]
    if arguments.html:
        new_file(arguments.html, ".html", [file], lambda head: _HTML_TITLE in head)
    if arguments.out and arguments.out.exists() and not arguments.out.is_dir():
        raise BadConfig(f"{arguments.out}: expected a folder, got a file. Name a folder to write the pictures to")
    recipe = load_config(arguments.recipe, arguments.set).preprocessing
    if arguments.window is not None:
        recipe = _with_window(recipe, arguments.window)
    lab = default_config()
    manifest = lab.data.manifest if lab.data.manifest.is_file() else None
    record_files([file], IMAGES, "inspect", root=lab.checkpoints.absolute(), manifest=manifest)
    found = inspect(file, recipe, frame=arguments.frame, side=None if arguments.out else SIDE)
    written = _write_pictures(arguments.out, found, file) if arguments.out else []
    if arguments.html:
        arguments.html.parent.mkdir(parents=True, exist_ok=True)
        arguments.html.write_text(to_html(found), encoding="utf-8", newline="\n")
        written.append(arguments.html.as_posix())
    if arguments.json:
        print_json(_document(found, file, written, arguments.pseudonym))
        return 0
    _print(found, file, arguments.pseudonym)
    for path in written:
        note(f"written: {path}")
    return 0


def _with_window(recipe: Recipe, window: int) -> Recipe:
    from core.config import Recipe

    highest = next(limit.le for limit in Recipe.model_fields["voi_index"].metadata if hasattr(limit, "le"))
    if not 0 <= window <= highest:
        raise BadConfig(f"--window {window}: expected 0 (none) to {highest}")
    return recipe.model_copy(update={"voi_index": window})


def _print(found: Inspection, file: Path, pseudonym: bool) -> None:
    from core.inspection import facts, geometry, parameter_words

    print(file.name)
    for name, value in facts(found.meta, found.stages[0].shape, pseudonym=pseudonym):
        print(f"  {name}: {value}")
    rows: list[tuple[object, ...]] = [
        (step.name, "", parameter_words(step.parameters), round(step.milliseconds, 1)) for step in found.reading
    ]
    rows += [(stage.name, _size(stage), stage.words, round(stage.step.milliseconds, 1)) for stage in found.stages]
    print_table(rows, ("step", "size", "what was done", "ms"))
    for warning in found.warnings:
        print(f"warning: {warning}")
    print(geometry(found))
    height, width = found.prepared.pixels.shape
    print(f"model input: {width} × {height}, recipe {found.prepared.recipe_hash}, {found.milliseconds:.0f} ms")


def _size(stage: InspectedStage) -> str:
    return f"{stage.shape[1]} × {stage.shape[0]}"


def _document(found: Inspection, file: Path, written: list[str], pseudonym: bool) -> dict[str, Any]:
    meta = {name: value for name, value in vars(found.meta).items() if pseudonym or name != "patient"}
    steps = [*found.reading, *found.prepared.steps]
    return {
        "file": file.name,
        "meta": meta,
        "shape": list(found.stages[0].shape),
        "recipe": found.recipe.model_dump(mode="json"),
        "recipe_hash": found.prepared.recipe_hash,
        "prepared_shape": list(found.prepared.pixels.shape),
        "prepared_spacing": found.spacing,
        "milliseconds": found.milliseconds,
        "steps": [vars(step) for step in steps],
        "stages": [_stage(stage) for stage in found.stages],
        "warnings": list(found.warnings),
        "written": written,
    }


def _stage(stage: InspectedStage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "words": stage.words,
        "shape": list(stage.shape),
        "lowest": stage.lowest,
        "mean": stage.mean,
        "highest": stage.highest,
        "changed": stage.changed,
        "histogram": stage.histogram.tolist(),
        "histogram_inside": stage.inside.tolist(),
    }


def _write_pictures(folder: Path, found: Inspection, file: Path) -> list[str]:
    from core.images import encode_png

    pictures = {
        f"{number:02d}-{stage.name.replace(' ', '-')}.png": stage.picture for number, stage in enumerate(found.stages, start=1)
    }
    pictures["model-input.png"] = found.prepared.pixels
    for name in pictures:
        new_file(folder / name, ".png", [file], lambda head: head.startswith(b"\x89PNG"))  # names that only we give
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (folder / name).write_bytes(encode_png(picture))
    return [(folder / name).as_posix() for name in pictures]
