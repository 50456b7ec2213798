"""``python -m otel_tools.cli``, where the ``otel-tools`` script is not on PATH."""

from otel_tools.cli import main

if __name__ == "__main__":
    main()
