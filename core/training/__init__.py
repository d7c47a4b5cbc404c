"""Training: the loop that fills a run folder (loop.py), and what starts it in a thread or a process (launchers.py)."""
