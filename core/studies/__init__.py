"""Studies: a question that is answered with many runs, over folds of the patients.

design    the question: folds, repeats, settings to compare        folds     which patients are held out when
study     the folder: study.yaml, config.yaml, manifest.csv, runs  worker    trains what is left to train
results   out-of-fold metrics and paired differences, made again from the runs' predictions
"""

from core.studies.design import Cell, Design, Job
from core.studies.results import StudyResults, results_of
from core.studies.study import Study, list_studies
from core.studies.worker import Outcome, work

__all__ = ["Cell", "Design", "Job", "Outcome", "Study", "StudyResults", "list_studies", "results_of", "work"]
