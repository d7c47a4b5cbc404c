"""What a person sees: a Streamlit app with a Gradio tab. Knows core; core never knows it."""

from __future__ import annotations

import os

# Read by libraries when they are first imported, so they are set before anything else is:
# idle OpenMP threads that spin slow a training and the pages down by a factor (two trainers on two cores: 4x).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
