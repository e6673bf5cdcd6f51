"""Run as ``python -m aistack``."""

from aistack.cli.main import main

if __name__ == "__main__":
    main()
