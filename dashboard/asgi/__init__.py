"""The ASGI side: the server's routes, the Gradio tab and the live previews."""
