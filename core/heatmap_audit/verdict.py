"""What an audit found, in plain words. It says "no better than" wherever an interval does not exclude it."""

from __future__ import annotations

from collections.abc import Sequence

from core.heatmap_audit.results import ALL, CALLED, CORRECT, WRONG, Case, Curve, Metric, unit_of
from core.metrics import Interval
from core.wording import counted

# A rank correlation from here on: the map of a network without learning tells much the same; below its negative it tells
# the same turned round, which is no less bound to the image.
TOO_ALIKE = 0.5


def verdict_of(
    metrics: Sequence[Metric], cases: Sequence[Case], shuffled_empty: int, curves: Sequence[Curve] = ()
) -> tuple[str, ...]:
    """Sentences, the most important first."""
    by_key = {(metric.key, metric.group): metric for metric in metrics}
    sentences = [
        *_pointing(by_key, cases),
        *_energy(by_key.get(("energy", ALL))),
        *(_pointless(curves) or _faithful(by_key)),
        *_sane(by_key.get(("shuffled_rank", ALL)), shuffled_empty),
        *_shift(by_key.get(("shifted_rank", ALL))),
        *_off(by_key.get(("off_breast", ALL))),
        *_flagged(cases),
    ]
    return tuple(sentences)


def _pointing(metrics: dict[tuple[str, str], Metric], cases: Sequence[Case]) -> list[str]:
    located = [case for case in cases if case.located]
    if not located:
        return ["It is not known whether the maps find lesions: no malignant image here has a known lesion and a map."]
    hits = sum(case.values["hit"] > 0.5 for case in located)
    metric = metrics[("hit", ALL)]
    patients = len({case.patient_id for case in located})
    unit = unit_of(cases)
    whose = f"{counted(len(located), 'malignant image')} with a known lesion"
    if unit == "patient":
        whose += f" ({counted(patients, 'patient')})"
    start = f"In {hits} of {whose} the map's peak lies in it"
    if isinstance(metric.value, str):
        return [f"{start}; these are too few {unit}s for an interval, and for a conclusion."]
    sentences = [f"{start} or within the tolerance: {_compared(metric, 'chance')}"]
    sentences.append(f"Compared with always pointing at the centre of the breast: {_compared(metric, 'centre')}")
    right, wrong = (metrics.get(("hit", group)) for group in (CORRECT, WRONG))
    if right and wrong and isinstance(right.value, Interval) and isinstance(wrong.value, Interval):
        sentences.append(
            f"The peak hits in {right.value.value:.0%} of the cancers that the model calls malignant "
            f"({counted(right.images, 'image')}) and in {wrong.value.value:.0%} of those it misses ({wrong.images})."
        )
    return sentences


def _energy(metric: Metric | None) -> list[str]:
    if metric is None or isinstance(metric.value, str):
        return []
    return [f"Of the maps' energy {metric.value.value:.0%} lies in the lesion: {_compared(metric, 'chance')}"]


def _pointless(curves: Sequence[Curve]) -> list[str]:
    """That deletion and insertion tell nothing here: taking away what can be seen does not lower the score.

    With curves that rise where they should fall, "sooner than at random" would be praise for the wrong thing.
    """
    deleted = next((curve for curve in curves if curve.kind == "deletion"), None)
    if deleted is None or deleted.mean[-1] < deleted.mean[0]:
        return []
    return [
        f"Blurring the whole breast does not lower the mean score ({deleted.mean[0]:.3f}, then {deleted.mean[-1]:.3f}): "
        "deletion and insertion cannot show here whether a map marks what the score rests on."
    ]


def _faithful(metrics: dict[tuple[str, str], Metric]) -> list[str]:
    sentences = []
    for key, better, words, order in (
        ("deletion", -1, "Blurring first what the map marks lowers the score", "blurring"),
        ("insertion", 1, "Showing first what the map marks raises the score", "showing"),
    ):
        called = metrics.get((key, CALLED))
        group = CALLED if called and isinstance(called.value, Interval) else ALL
        metric = metrics.get((key, group))
        if metric is None or "random" not in metric.references:
            continue
        difference = metric.references["random"].difference
        if isinstance(difference, str):
            continue
        among = f"over {counted(metric.images, 'image')}{' called malignant' if group == CALLED else ''}"
        stated = f"difference in AUC {difference:+.3f} {among}"
        if (difference.high < 0) if better < 0 else (difference.low > 0):
            sentences.append(f"{words} sooner than {order} in a random order ({stated}).{_but(metric, better)}")
        elif (difference.low > 0) if better < 0 else (difference.high < 0):
            sentences.append(f"{words} later than a random order would ({stated}): it does not mark what the score rests on.")
        else:
            sentences.append(f"{words} not clearly sooner than a random order ({stated}).")
    return sentences


def _but(metric: Metric, better: int) -> str:
    """What takes away from it: that an order which has seen no tissue does as well."""
    reference = metric.references.get("centre")
    if reference is None or isinstance(reference.difference, str):
        return ""
    difference = reference.difference
    if (difference.high < 0) if better < 0 else (difference.low > 0):
        return ""
    if (difference.low > 0) if better < 0 else (difference.high < 0):
        return f" But later than from the breast's middle outwards (difference {difference:+.3f})."
    return f" But not clearly sooner than from the breast's middle outwards (difference {difference:+.3f})."


def _sane(metric: Metric | None, empty: int) -> list[str]:
    emptied = f" ({empty} more became empty)" if empty else ""
    if metric is None or isinstance(metric.value, str):
        return [f"With shuffled weights {counted(empty, 'map')} became empty; too few remain to compare."] if empty else []
    value = metric.value
    stated = f"rank correlation {value:+.2f} over {counted(metric.images, 'image')}{emptied}"
    if value.low >= TOO_ALIKE:
        return [
            f"With shuffled weights the maps stay much the same ({stated}): they show the image more than what was learned."
        ]
    if value.high <= -TOO_ALIKE:
        return [f"With shuffled weights the maps turn round ({stated}): they show the image more than what was learned."]
    if value.low > -TOO_ALIKE and value.high < TOO_ALIKE:
        return [f"With shuffled weights the maps become others ({stated}): they depend on what was learned."]
    return [f"It is not clear whether the maps depend on what was learned ({stated})."]


def _shift(metric: Metric | None) -> list[str]:
    if metric is None or isinstance(metric.value, str):
        return []
    stated = f"rank correlation {metric.value:.2f}"
    if metric.value.low >= TOO_ALIKE:
        return [f"When the image moves by one pixel, the map moves with it ({stated})."]
    if metric.value.high < TOO_ALIKE:
        return [f"When the image moves by one pixel, the map becomes another ({stated}): do not read much into one map."]
    return [f"Whether the map stays when the image moves by one pixel is not clear ({stated}): do not read much into one map."]


def _off(metric: Metric | None) -> list[str]:
    if metric is None or isinstance(metric.value, str):
        return []
    uniform = metric.references["uniform"].value
    beside = "" if isinstance(uniform, str) else f"; of a map that is the same everywhere it would be {uniform.value:.1%}"
    return [f"{metric.value.value:.1%} of the maps' energy lies off the breast{beside}."]


def _flagged(cases: Sequence[Case]) -> list[str]:
    count = sum(bool(case.flagged) for case in cases)
    if not count:
        return ["No map was empty, flat or not a number."]
    return [
        f"{count} of {len(cases)} maps hold nothing (empty, flat or not a number). They are listed, and left out of every "
        "metric but FROC and AFROC, where an empty or flat map is an image without marks."
    ]


def _compared(metric: Metric, name: str) -> str:
    reference = metric.references[name]
    if isinstance(reference.value, str) or isinstance(reference.difference, str):
        return "not compared."
    beside = {"chance": "chance gives", "centre": "that gives"}[name]
    stated = f"{beside} {reference.value.value:.0%}, difference {100 * reference.difference.value:+.0f} points " + (
        f"[{100 * reference.difference.low:+.0f}, {100 * reference.difference.high:+.0f}]"
    )
    if reference.difference.low > 0:
        return f"better ({stated})."
    if reference.difference.high < 0:
        return f"worse ({stated})."
    return f"not clearly better ({stated})."
