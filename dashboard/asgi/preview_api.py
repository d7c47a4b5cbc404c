"""Live previews over HTTP: the answers to the Preprocess page's own sliders (dashboard/cache/previews.py) and the tiles of
the image viewer (dashboard/cache/tiles.py)."""

from __future__ import annotations

import logging
import math

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.config import Recipe
from core.errors import LabError
from core.preprocessing.preview import CUT_SIDE, Cut
from dashboard.cache import previews, tiles
from dashboard.cache.images import ImageRef

log = logging.getLogger(__name__)

DIGITS = 6  # of a tile's number, at most
KINDS = ("picture", "loupe", "native", "grid", "tile")


async def answer(request: Request) -> Response:
    """GET tune/<token>/picture|loupe|native|grid?recipe=<JSON>: a message as `envelope` writes; tile: see tiles.packed.

    Further: `x`, `y` the loupe's place; `part` (left,top,right,bottom in shares, and its width in screen pixels) what is
    wanted at native resolution; `seen`, `lens`, `cut` the names of what the browser shows of the picture before; of a tile
    `stage`, and `level`, `column`, `row` (tiles.Place).
    """
    known = previews.find(request.path_params["token"])
    what = request.path_params["what"]
    wanted = previews.ImageGrid if what == "grid" else ImageRef
    if not isinstance(known, wanted) or what not in KINDS:
        return _refused(404, "This image is no longer open here.")
    try:
        recipe = Recipe.model_validate_json(request.query_params.get("recipe", "{}"))
        spot = _share(request.query_params.get("x")), _share(request.query_params.get("y"))
        seen = previews.Shown(*(request.query_params.get(name, "") for name in ("seen", "lens", "cut")))
        cut = _part(request.query_params.get("part", ""), required=what == "native")
        stage, place = tiles.stage_of(request.query_params.get("stage", tiles.ORIGINAL)), _place(request)
    except ValidationError as error:
        return _refused(422, "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()))
    except ValueError as error:
        return _refused(422, str(error))
    try:
        if isinstance(known, previews.ImageGrid):
            content = await run_in_threadpool(previews.grid, known, recipe)
        elif what == "tile":
            content = await run_in_threadpool(_tile, known, recipe, stage, place)
        elif what == "loupe":
            content = await run_in_threadpool(previews.magnified, known, recipe, spot)
        else:
            with previews.sliders:
                if cut is not None and what == "native":
                    content = await run_in_threadpool(previews.native, known, recipe, cut, seen.cut)
                else:
                    content = await run_in_threadpool(previews.picture, known, recipe, spot, seen, cut)
    except (LabError, tiles.NoSuchTile) as error:
        return _refused(422, str(error))
    except Exception:
        log.exception("a preview failed")
        return _refused(500, "The preview failed. The server's log has the details.")
    headers = {"cache-control": "no-store"} | ({"content-encoding": "gzip"} if what == "tile" else {})
    return Response(content, media_type="application/octet-stream", headers=headers)


def _tile(image: ImageRef, recipe: Recipe, stage: str, place: tiles.Place) -> bytes:
    return tiles.packed(tiles.tile(image, recipe, stage, place))


def _place(request: Request) -> tiles.Place:
    """The tile that is asked for; the first one where nothing is said."""
    texts = [request.query_params.get(name, "0") for name in ("level", "column", "row")]
    if not all(text.isascii() and text.isdigit() and len(text) <= DIGITS for text in texts):
        raise ValueError(f"expected level, column and row as whole numbers from 0, got {', '.join(map(repr, texts))}")
    return tiles.Place(*map(int, texts))


def _share(text: str | None) -> float:
    value = float(text or 0.5)
    if not 0 <= value <= 1:
        raise ValueError(f"expected a share between 0 and 1, got {text!r}")
    return value


def _part(text: str, *, required: bool) -> Cut | None:
    """`left,top,right,bottom,dots` as a Cut; None where nothing is asked for."""
    if not text and not required:
        return None
    try:
        *edges, dots = (float(part) for part in text.split(","))
        left, top, right, bottom = edges
    except ValueError:
        left, top, right, bottom, dots = (math.nan,) * 5
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1 and 1 <= dots <= CUT_SIDE):
        raise ValueError(
            f"expected a part as left,top,right,bottom between 0 and 1 and a width of 1 to {CUT_SIDE} pixels, got {text!r}"
        )
    return Cut(left, top, right, bottom, int(dots))


def _refused(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"reason": reason}, status, headers={"cache-control": "no-store"})
