"""The entry: `streamlit run dashboard/Home.py`. Routes, nothing else.

Streamlit imports this file once for `app` (the ASGI application that serves pages and the Gradio tab on one port) and
runs it again as `__main__` for every session.
"""

from __future__ import annotations

import streamlit as st

if __name__ == "__main__":
    from dashboard.state import machine
    from dashboard.ui import sidebar

    st.set_page_config(page_title="MammoLab", page_icon=sidebar.ICON, layout="wide")
    current = st.navigation(
        {
            "": [st.Page("views/home/home.py", title="Home", icon=":material/home:", default=True)],
            "Images": [
                st.Page("views/data/data.py", title="Data", icon=":material/database:"),
                st.Page("views/inspect/inspect.py", title="Inspector", icon=":material/frame_inspect:"),
                st.Page("views/preprocess/preprocess.py", title="Preprocess", icon=":material/tune:"),
            ],
            "Model": [
                st.Page("views/train/train.py", title="Train", icon=":material/model_training:"),
                st.Page("views/runs/runs.py", title="Runs", icon=":material/stacked_line_chart:"),
                st.Page("views/evaluate/evaluate.py", title="Evaluate", icon=":material/query_stats:"),
                st.Page("views/explain/explain.py", title="Explain", icon=":material/blur_on:"),
                st.Page("views/test_image/test_image.py", title="Test image", icon=":material/image_search:"),
            ],
        }
    )
    sidebar.show()
    current.run()
    machine.warm_up(("core.predict", "dashboard.asgi.gradio_tab"))
else:
    from dashboard.asgi import server

    app = st.App(__file__, routes=server.routes(), lifespan=server.lifespan, middleware=server.middleware())
