"""Random fields that tissue is made of: power-law noise, ridges, flow along and across ducts.

All fields are float32 and reproducible: every call draws from the generator it is given, nothing else.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]  # float32 in fact; plain Python numbers keep it so
Rng = np.random.Generator


def smooth(image: Field, sigma: float) -> Field:
    """Gaussian blur, sigma in pixels; nothing happens below a quarter of a pixel."""
    if sigma < 0.25:
        return image
    blurred: Any = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.float32)


def blobs(rng: Rng, shape: tuple[int, int], cell: float) -> Field:
    """Smooth noise of one scale, (H, W), zero mean, unit variance; `cell` is the size of a blob in pixels."""
    cell = max(cell, 1.0)
    # Two cells of margin and a random shift: the lattice of two octaves must never coincide at the image's corner.
    rows, columns = (int(np.ceil(side / cell)) + 4 for side in shape)
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    shift_y, shift_x = rng.random(2)
    matrix = np.array([[1.0 / cell, 0.0, 1.0 + shift_x], [0.0, 1.0 / cell, 1.0 + shift_y]], dtype=np.float64)
    field: Any = cv2.warpAffine(
        grid, matrix, (shape[1], shape[0]), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(field, dtype=np.float32) * 1.45  # bicubic weights lose about half of the variance


def power_law(rng: Rng, shape: tuple[int, int], largest: float, smallest: float, persistence: float = 0.6) -> Field:
    """Noise over octaves of cell size from `largest` down to `smallest` pixels, about unit variance.

    The amplitude falls by `persistence` an octave. A spectrum 1/f^b has persistence 2^-((b - 2) / 2): parenchyma,
    with b about 3, has 0.7.
    """
    amplitude, energy, cell = 1.0, 0.0, largest
    cells: list[tuple[float, float]] = []
    while cell >= smallest or not cells:
        cells.append((cell, amplitude))
        energy += amplitude**2
        amplitude, cell = amplitude * persistence, cell / 2.0
    total = _octaves(rng, shape, cells)
    return total / math.sqrt(energy)


def _octaves(rng: Rng, shape: tuple[int, int], cells: list[tuple[float, float]]) -> Field:
    """Sum of blobs; large octaves are drawn at half the size and enlarged, which nobody can see and saves most of the time."""
    coarse = [(cell / 2.0, amplitude) for cell, amplitude in cells if cell >= 8.0]
    fine = [(cell, amplitude) for cell, amplitude in cells if cell < 8.0]
    total = np.zeros(shape, dtype=np.float32)
    if coarse and min(shape) >= 64:
        half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
        enlarged: Any = cv2.resize(_octaves(rng, half, coarse), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        total += np.asarray(enlarged, dtype=np.float32)
    else:
        fine = cells
    for cell, amplitude in fine:
        total += amplitude * blobs(rng, shape, cell)
    return total


def tile(rng: Rng, cells: tuple[int, int], per_cell: int = 4) -> Field:
    """A noise texture to be sampled by `sample`: `per_cell` pixels a cell, periodic, unit variance."""
    grid = rng.standard_normal(cells, dtype=np.float32)
    padded = np.pad(grid, 3, mode="wrap")
    large: Any = cv2.resize(padded, None, fx=per_cell, fy=per_cell, interpolation=cv2.INTER_CUBIC)
    cut = 3 * per_cell
    texture = np.ascontiguousarray(large[cut:-cut, cut:-cut], dtype=np.float32)
    return texture / (texture.std() + 1e-6)


def sample(texture: Field, u: Field, v: Field, per_cell: int = 4) -> Field:
    """The texture at cell coordinates (u across columns, v across rows), wrapped around."""
    sampled: Any = cv2.remap(texture, u * per_cell, v * per_cell, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(sampled, dtype=np.float32)


def ridges(field: Field, width: float) -> Field:
    """Bright thin lines, 0 to 1, where the field crosses zero; `width` in units of the field's deviation."""
    return np.exp(-np.square(field / width))


def sigmoid(field: Field) -> Field:
    """1 / (1 + exp(-x)), safe for large arguments."""
    return 1.0 / (1.0 + np.exp(-np.clip(field, -30.0, 30.0)))
