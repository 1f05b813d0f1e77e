"""`python -m structseg` is the `structseg` command."""

from __future__ import annotations

from structseg.cli import main

if __name__ == "__main__":
    main()
