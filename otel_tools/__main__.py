"""``python -m otel_tools``, where the ``otel-tools`` script is not on PATH."""

from otel_tools._cli import main

if __name__ == "__main__":
    main()
