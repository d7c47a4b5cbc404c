"""What a session and the server remember: settings, data sets, runs, choices, background tasks."""
