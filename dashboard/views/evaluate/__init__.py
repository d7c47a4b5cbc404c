"""The Evaluate page in parts: one threshold slider, and what follows it.

context.py           run, split and level that are shown, and what is computed of them, once
split_scoring.py     scoring a split; accesses to the test set so far (access_list.py)
threshold_slider.py  the slider with the metrics at its threshold
charts.py            ROC, precision-recall, confusion matrix, histogram, decision curve; all follow the slider in the browser
thresholds.py        the threshold that a rule chooses on validation, and freezing it
calibration.py       whether scores are probabilities; screening.py: what a threshold means at a low prevalence
subgroups.py         subgroups; shortcuts.py: how well metadata alone predict the label; patients.py, reader.py
comparison.py        another run on the same images; published results
external.py          another collection as an external test set, and beside the internal one
cases.py             errors and near misses with heatmaps; all images
"""
