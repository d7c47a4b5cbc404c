"""The pages, a package each: the module of the same name is what Streamlit runs."""
