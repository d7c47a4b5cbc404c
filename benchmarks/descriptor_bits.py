"""Learns the directions by which core.data.copies codes a feature from power-law noise and writes them: run by hand, when
features change.
"""

from __future__ import annotations

import numpy as np

from core.data.copies.fingerprint import DIRECTIONS, FLIPS, describe, flipped_descriptors

_PICTURES, _SIDE, _DIRECTIONS = 60, 256, 48
_SLOPE = 1.5  # of the amplitude: a power spectrum of 1/f^3, as mammograms have (Burgess, Med Phys 2001)


def run() -> None:
    """Write bits.npy, float32 (48, 65): the strongest principal directions, each even or odd under each mirroring, and in the
    last column the threshold that half of the features exceed: 0 for a direction that a mirroring turns round.
    """
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.fftfreq(_SIDE)[None])
    frequency[0, 0] = 1
    described = []
    for _ in range(_PICTURES):
        noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(_SIDE, _SIDE))) / frequency**_SLOPE).real
        described.append(describe(((noise - noise.min()) / np.ptp(noise)).astype(np.float32)))
    features = np.concatenate(described)
    mirrored = [flipped_descriptors(features, flip) for flip in range(len(FLIPS))]
    found: list[tuple[float, np.ndarray]] = []
    for parity in range(len(FLIPS)):
        signs = [(-1) ** (parity & flip).bit_count() for flip in range(len(FLIPS))]
        part = sum(sign * each for sign, each in zip(signs, mirrored, strict=True)) / len(FLIPS)
        centred = part - part.mean(axis=0)
        _, strengths, directions = np.linalg.svd(centred, full_matrices=False)
        for strength, direction in zip(strengths, directions, strict=True):
            threshold = 0.0 if parity else float(np.median(part @ direction))
            if strength > 1e-3 * strengths[0]:
                found.append((float(strength), np.append(direction, threshold)))
    found.sort(key=lambda each: -each[0])
    np.save(DIRECTIONS, np.stack([row for _, row in found[:_DIRECTIONS]]).astype(np.float32))
    print(f"{DIRECTIONS}: {_DIRECTIONS} directions of {len(features):,} features")


if __name__ == "__main__":
    run()
