"""Whether a run's heatmaps can be believed: checked against lesions, against chance, and against a model without learning.

What is asked of the maps of one run on one split, each metric beside what costs nothing to reach:

- localisation (malignant images whose lesion is known): does the map's peak lie in the lesion, how much of the map does,
  how well do they overlap; beside a point thrown blindly at the breast and a map of the breast's shape alone;
- faithfulness: does the score fall when what the map marks is blurred, and rise when it is shown; beside random maps;
- sanity: does the map change when the weights are shuffled; does it stay when the image moves by a pixel;
- off the breast: how much of the map lies where no breast is.

A map that holds nothing is flagged by name and left out of the averages. None of this shows that a map outlines disease.
"""

from core.heatmap_audit.audit import audit_heatmaps
from core.heatmap_audit.results import Case, HeatmapAudit, MethodAudit, Metric
from core.heatmap_audit.store import audited_splits, read_heatmap_audit
