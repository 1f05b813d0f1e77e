"""How long the face takes to import: medians over fresh processes, side by side with bare Python.

Goal: `import structseg` costs at most 0.3 s beyond bare Python.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

ROUNDS = 7
STATEMENTS = {
    "bare Python": "pass",
    "import structseg": "import structseg",
    "import structseg.config": "import structseg.config",
    "import structseg.report": "import structseg.report",
    "structseg --help": ("import sys; sys.argv = ['structseg', '--help']; from structseg.cli import main; main()"),
    "import numpy": "import numpy",
    "import torch": "import torch",
}


def seconds(statement: str) -> float:
    """Wall time of one fresh process that runs `statement`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=dict(os.environ), stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    for statement in STATEMENTS.values():  # the first call reads the disk and compiles
        seconds(statement)
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            times[name].append(seconds(statement))
    bare = statistics.median(times["bare Python"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:26s} {median:6.3f} s   {median - bare:+.3f} s beyond bare Python")


if __name__ == "__main__":
    main()
