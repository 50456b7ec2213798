"""The demo: an ordinary tool-calling application with telemetry.

`loop.py` and `tools.py` are the application and know nothing of telemetry; `run.py` is all that is added.
"""
