"""Objects beside the breast (burned-in labels, markers, stickers): reported only, as a fact about the image.

What lies outside the breast is blackened before a model sees it (unless the recipe says otherwise); that it was there can still
go with the label, because another machine or another department wrote it. See the shortcut audit in core.metrics.shortcuts.
"""

from __future__ import annotations

import cv2
import numpy as np

from core.preprocessing.analysis import Analysis

_BRIGHT = 0.35  # of the range from air to bright tissue: fainter things are scatter and uneven film
_SMALLEST = 0.00005  # of the image: about one letter
_LARGEST = 0.05  # of the image: more is a second body part, not a label
_GAP = 0.012  # of the longer side: what lies nearer to the outline is skin, what lies nearer to one another is one thing


def has_objects(analysis: Analysis) -> bool:
    """Whether something bright, of the size of a label or marker and apart from the image's edge, lies outside the breast."""
    if not analysis.breast.found:
        return False
    small, mask = analysis.small, analysis.breast.mask
    brush = np.ones((max(3, round(_GAP * max(small.shape)) | 1),) * 2, np.uint8)
    outside = cv2.dilate(mask, brush) == 0
    if not outside.any():
        return False
    air, bright = float(np.median(small[outside])), float(np.percentile(small, 99))
    if bright <= air:
        return False
    things = (outside & (small > air + _BRIGHT * (bright - air))).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(things, brush), connectivity=8)
    height, width = small.shape
    reach = brush.shape[0] // 2
    for index in range(1, count):
        x, y, across, down = (int(value) for value in stats[index, :4])
        area = int(np.count_nonzero(things[y : y + down, x : x + across]))
        # Strips along a side are the scanner's or the film's, not text.
        touching = x <= reach or y <= reach or x + across >= width - reach or y + down >= height - reach
        if not touching and _SMALLEST * small.size <= area <= _LARGEST * small.size:
            return True
    return False
