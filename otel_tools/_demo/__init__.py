"""The demo: an ordinary tool-calling application, watched from outside.

`loop.py` and `tools.py` are the application, as anybody has it; `run.py` is all that is added to see it.
"""
