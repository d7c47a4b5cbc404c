"""A run's model on one of its splits: scores of every image, metrics with intervals, and what was left out.

    evaluation   all of it, recorded         scoring      images -> scores
    metadata     what is known of an image   further      other columns of the manifest, and how they are read
    summaries    scores -> metrics           result       what an evaluation holds, to JSON and back
    thresholds   thresholds chosen again     store        evaluation.json and predictions/<split>.csv
    comparison   two runs, the same images   endpoint     the primary endpoint, declared before the test set is evaluated
    external     another collection          overlap      which of its rows are the run's own

Thresholds and calibration are those frozen in model.json on validation; an evaluation chooses nothing. Every evaluation is
counted: a test set that was evaluated many times is no longer one.
"""

from core.evaluate.comparison import Comparison, adjusted_p, compare, compare_evaluations
from core.evaluate.evaluation import evaluate, remake
from core.evaluate.external import evaluate_external
from core.evaluate.result import AGAIN, CalibrationReport, DecisionTable, Evaluation, excluded_words
from core.evaluate.store import external_splits, read_evaluation, read_predictions
from core.evaluate.thresholds import refreeze
