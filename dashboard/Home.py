"""The entry: `streamlit run dashboard/Home.py`. Routes, nothing else.

Streamlit imports this file once for `app` (the ASGI application that serves pages and the Gradio tab on one port) and
runs it again as `__main__` for every session.
"""

from __future__ import annotations

from typing import Literal

import streamlit as st

if __name__ == "__main__":
    from dashboard.state import machine
    from dashboard.ui import pages, sidebar

    presenting = pages.presenting()
    shown: Literal["sidebar", "hidden"] = "hidden" if presenting else "sidebar"
    st.set_page_config(page_title="MammoLab", page_icon=sidebar.ICON, layout="wide")
    scripts = {
        name: st.Page(pages.script(name), title=page.title, icon=page.material, default=name == "home")
        for name, page in pages.PAGES.items()
    }
    groups = {group: [scripts[name] for name in names] for group, names in pages.GROUPS.items()}
    current = st.navigation(groups, position=shown)
    if presenting and current is not scripts["present"]:
        st.switch_page(scripts["present"])
    (sidebar.show_nothing if presenting else sidebar.show)()
    current.run()
    machine.warm_up(("core.predict", "dashboard.asgi.gradio_tab"))
else:
    from dashboard.asgi import server

    app = st.App(__file__, routes=server.routes(), lifespan=server.lifespan, middleware=server.middleware())
