"""The Predictor of scripts and notebooks: the one of core.predict, with a record of the test images that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from core.api import WHERE
from core.api.runs import open_run
from core.cli.access_recording import record_files
from core.gradcam import Evidence, Heatmap
from core.predict import Predictor as _Predictor
from core.prediction import BreastPrediction, Prediction
from core.preprocessing import Prepared
from core.runs import Run
from core.runs.test_set.accesses import HEATMAPS, PREDICTION


class Predictor(_Predictor):
    """A trained model, ready to judge images; make it with `from_run`.

    Test images are judged like all others. That it was done is recorded in the runs' folder, as `python -m core predict` does,
    and a note on standard error says so.
    """

    folder: Path | None = None

    @classmethod
    def from_run(cls, run: Path | str | Run, *, device: str = "auto") -> Self:
        """Load a run's best model.

        Args:
            run: what `core.train` or `core.open_run` gave, a run's name, or the path of its folder.
            device: "auto", "cpu", "cuda", "cuda:1", "mps".

        Raises:
            BadRun: there is no such run, or it has no complete model.
            RecipeMismatch: it was trained on images prepared by another version of the preprocessing.
        """
        folder = open_run(run).path if isinstance(run, Path | str) else run.path
        predictor = super().from_run(folder, device=device)
        predictor.folder = folder
        return predictor

    def predict(self, source: Path | str | bytes, *, frame: int | None = None, score_anyway: bool = False) -> Prediction:
        """Judge one file, or the bytes of one.

        Args:
            frame: as in `core.load_image`.
            score_anyway: give a score, and no decision, also where the model should not judge the image.

        Raises:
            UnreadableImage: it is not an image that we can decode.
            NotRecorded: it is a test image, and that cannot be written down.
        """
        self._record([source], PREDICTION)
        return super().predict(source, frame=frame, score_anyway=score_anyway)

    def predict_many(
        self,
        paths: Sequence[Path | str],
        progress: Callable[[int, int], None] | None = None,
        *,
        frame: int | None = None,
        score_anyway: bool = False,
    ) -> Iterator[Prediction | tuple[Path, str]]:
        """Judge files in order, several at a time: for each a Prediction, or (path, reason) where it cannot be read.

        Raises:
            NotRecorded: there are test images among them, and that cannot be written down.
        """
        files = list(paths)
        self._record(files, PREDICTION)
        return super().predict_many(files, progress, frame=frame, score_anyway=score_anyway)

    def predict_breast(
        self, files: Sequence[Path | str], *, views: Mapping[Path, str] | None = None, score_anyway: bool = False
    ) -> BreastPrediction:
        """Judge one breast from the files of all its images, with a model of two views.

        Args:
            views: what files show ("CC", "MLO"), where you know better than the run's manifest, the header and the name.
            score_anyway: as in `predict`.

        Raises:
            BadRun: the model judges single images.
            UnreadableImage: none of the files can be read; fewer are missing views, and the prediction's warnings say so.
            NotRecorded: there are test images among them, and that cannot be written down.
        """
        from core.predict_breasts import predict_breast

        self._record(files, PREDICTION)
        return predict_breast(self, files, views=views, score_anyway=score_anyway)

    def predict_breasts(
        self,
        files: Sequence[Path | str],
        progress: Callable[[int, int], None] | None = None,
        *,
        score_anyway: bool = False,
    ) -> Iterator[tuple[tuple[Path, ...], BreastPrediction | str]]:
        """Pair files into breasts, by the run's manifest, DICOM headers or file names, and judge each: its files, with the
        prediction, or the reason where none of them can be read.

        Raises: as `predict_breast`.
        """
        from core.predict_breasts import predict_breasts

        listed = list(files)
        self._record(listed, PREDICTION)
        return predict_breasts(self, listed, progress, score_anyway=score_anyway)

    def explain_breast(self, breast: BreastPrediction, **options: Any) -> tuple[Heatmap | Evidence, ...]:
        """A heatmap for each image in `breast.used`, the other images being as they are; options and errors as in `explain`.

        Each is scaled for itself; `peak` compares them.
        """
        from core.predict_breasts import explain_breast

        self._record([image.path for image in breast.used if image.path is not None], HEATMAPS)
        return explain_breast(self, breast, **options)

    def explain(self, image: Prediction | Prepared, **options: Any) -> Heatmap:
        """Where in the image the evidence for `target` ("malignant" or "benign") is.

        Args:
            image: what `predict` gave.
            options: `method` ("auto", "gradcam", "gradcam++", "hirescam", "layercam", "eigencam", "scorecam"), `target`,
                `layer`, `channels`, `progress`, as in core.gradcam.heatmap.

        Raises:
            Refused: the prediction has no score.
            NotRecorded: it is a test image, and that cannot be written down.
        """
        self._record_heatmap(image)
        return super().explain(image, **options)

    def evidence(self, image: Prediction | Prepared, **options: Any) -> Evidence:
        """Malignant and benign evidence in the image on one scale; options and errors as in `explain`, without `target`."""
        self._record_heatmap(image)
        return super().evidence(image, **options)

    def _record_heatmap(self, image: Prediction | Prepared) -> None:
        if isinstance(image, Prediction) and image.path is not None:
            self._record([image.path], HEATMAPS)

    def _record(self, sources: Sequence[Path | str | bytes], kind: str) -> None:
        if self.folder is not None:
            record_files(sources, kind, WHERE, root=self.folder.parent, run=self.folder)
