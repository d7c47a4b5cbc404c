"""The Evaluate page in parts: one threshold slider, and what follows it.

scene.py        what is looked at (run, split, level), and what is computed of it, once
opening.py      having a split scored; how often it was looked at
dial.py         the threshold slider with the figures at the threshold
charts.py       ROC, precision-recall, confusion matrix, histogram, decision curve; all follow the slider in the browser
choosing.py     which threshold a rule would choose on validation, and freezing it
calibrating.py  whether scores are probabilities; screening.py: what a threshold means where disease is rare
groups.py       subgroups, and how far metadata alone tell the label
comparing.py    another run on the same images; published figures
cases.py        mistakes and near misses with heatmaps; all images
"""
