"""The one tree of errors that MammoLab raises on purpose.

    LabError
    +-- UnreadableImage    a file that is not a greyscale image we can decode
    |   +-- Refused        one that a model should not judge, asked about all the same
    +-- BadConfig          config.yaml or --set: unknown field, impossible value
    +-- BadManifest        a manifest that lacks columns, rows or labels it needs
    |   +-- Leakage        one patient (or one identical image) in two splits
    +-- MissingWeights     pretrained weights that cannot be had on this machine
    +-- NotEnoughData      labels or scores from which the metric asked for cannot be computed
    +-- RecipeMismatch     an image prepared by another recipe than the model's
    +-- BadRun             a run folder that is missing, incomplete or in the wrong state
    +-- TrainingFailed     a training that had to end (NaN loss, out of memory, disk full)
    +-- NotRecorded        an access to a test set that cannot be written down, and so is not given

Every message says what was expected, what came, and what to do.
"""

from __future__ import annotations


class LabError(Exception):
    """Base of every error that a caller may show to a user as it is."""


class UnreadableImage(LabError):
    """The bytes are not a greyscale image that this installation can decode."""


class Refused(UnreadableImage):
    """An image without a verdict, of which something was asked that only a judged one has."""


class BadConfig(LabError):
    """A configuration with an unknown field or an impossible value."""


class BadManifest(LabError):
    """A manifest that cannot be used as it is."""


class Leakage(BadManifest):
    """The same patient, or the same image, stands in more than one split."""


class MissingWeights(LabError):
    """Pretrained weights were asked for and cannot be had here."""


class NotEnoughData(LabError):
    """Labels or scores from which a metric cannot be computed: none at all, one class only, NaN."""


class RecipeMismatch(LabError):
    """An image was prepared by another recipe than the model was trained with."""


class BadRun(LabError):
    """A run folder that is missing, incomplete, or in a state that forbids the request."""


class TrainingFailed(LabError):
    """A training ended for a reason that the user can act on."""


class NotRecorded(LabError):
    """An access to a test set that cannot be written down, and therefore is not given."""
