"""`python -m pollers`: the command line."""

from __future__ import annotations

from pollers.service.cli import main

if __name__ == "__main__":
    main()
