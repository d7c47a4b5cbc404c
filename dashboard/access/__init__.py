"""Who may reach the dashboard, and what visitors may reach through it.

settings.py   what `config.yaml`, the command line and the environment allow
hosts.py      which Host and Origin headers are ours
guard.py      the one ASGI middleware in front of pages, Gradio, previews and websockets
login.py      the password form and the cookie that follows it
paths.py      the folders from which visitors may name files
uploads.py    the folder of files uploaded to the Gradio tab, and for how long they stay
gradio_gate.py  the addresses and events of the Gradio tab that are answered
"""
