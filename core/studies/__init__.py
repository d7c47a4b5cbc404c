"""Studies: a question that is answered with many runs, over folds of the patients.

design    the question: folds, repeats, settings to compare        folds     which patients are held out when
study     the folder: study.yaml, config.yaml, manifest.csv, runs  worker    trains what is left to train
search    trials that look for the best settings                   search_space  what may be changed  trial_store  by Optuna
results   out-of-fold metrics and paired differences, made again   quick_probe  an answer without a training
          from the runs' predictions
ensemble  the mean of finished runs as a run of its own
"""

from core.studies.design import Cell, Design, Job
from core.studies.ensemble import ensemble_of, ensemble_of_study
from core.studies.quick_probe import ProbeResults, probe
from core.studies.results import StudyResults, results_of
from core.studies.search import SearchResults, search_of
from core.studies.search_space import Range, Search
from core.studies.study import Study, list_studies
from core.studies.worker import Outcome, active_workers, start_process, work

__all__ = [
    "Cell",
    "Design",
    "Job",
    "Outcome",
    "ProbeResults",
    "Range",
    "Search",
    "SearchResults",
    "Study",
    "StudyResults",
    "active_workers",
    "ensemble_of",
    "ensemble_of_study",
    "list_studies",
    "probe",
    "results_of",
    "search_of",
    "start_process",
    "work",
]
