"""Learns the visual words of core.data.copies from power-law noise and writes them: run by hand, when features change."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from core.data.copies.fingerprint import WORDS, describe

_PICTURES, _SIDE, _WORDS = 60, 256, 16
_SLOPE = 1.5  # of the amplitude: a power spectrum of 1/f^3, as mammograms have (Burgess, Med Phys 2001)


def run() -> None:
    """Write words.npy, float16 (16, 64)."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.fftfreq(_SIDE)[None])
    frequency[0, 0] = 1
    described = []
    for _ in range(_PICTURES):
        noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(_SIDE, _SIDE))) / frequency**_SLOPE).real
        picture = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
        described.append(describe(picture))
    found = KMeans(_WORDS, random_state=0, n_init=2).fit(np.concatenate(described)).cluster_centers_
    np.save(WORDS, found.astype(np.float16))
    print(f"{WORDS}: {_WORDS} words of {sum(map(len, described)):,} features")


if __name__ == "__main__":
    run()
