"""Where documents come from: the Python installation (embedded.py), local files (files.py), the web (web.py)."""
