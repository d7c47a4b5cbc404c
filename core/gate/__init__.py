"""The input gate: whether a model should judge an image at all. What it should not judge gets no verdict, but the reason.

    origin      what the file says it is, and what its pixels are: a CT, a colour photograph, a mask, no breast
    features    what the network and a few simple statistics say of an image, in one forward pass
    distance    how far that is from the images the model was trained on
    fitting     learning what is near from training images, and how far is too far from validation images
    store       gate.safetensors in the run's folder

core.predict asks; nobody else decides.
"""

from core.gate.distance import Distance, MeanDistance
from core.gate.features import forward, statistics_of
from core.gate.fitting import fit_gate, fitting
from core.gate.origin import doubts_of_origin, refusal_of_origin
from core.gate.store import read_gate, write_gate
