"""How many built-in scenes a second one core renders.

python benchmarks/scenes.py [count]
"""

from __future__ import annotations

import sys
import time

import cv2

from structseg.data.scenes import SIZE, render


def main(count: int = 500) -> None:
    cv2.setNumThreads(0)
    for index in range(20):  # fills the noise tables
        render(1, index)
    wall, cpu = time.perf_counter(), time.process_time()
    for index in range(count):
        render(0, index)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    height, width = SIZE
    print(f"{count} scenes of {width}x{height}: {count / wall:.0f} pictures/s ({count / cpu:.0f} by processor time)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
