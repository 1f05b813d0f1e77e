"""How fast is the dense CRF next to the public C++ build, and does it give the same?

    python benchmarks/crf.py [--pictures FOLDER] [--count 4 --rounds 5]

Ten steps with the usual parameters on 375x500 pixels, for 21 classes and for 3: a drawn scene, and `--count` pictures
of a folder, brought to that size, with smooth random probabilities. Forms run in turn in one process; times are the
least of the rounds, process time on one thread. The C++ build (extra `oracle`, needs a compiler) takes part where it is
installed. Beside it: how far the probabilities differ at most, the share of equal labels and, for that to mean
something, the share of labels that the CRF changed. With several threads the wall time counts, and only on a machine
that does nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from structseg.data import scenes
from structseg.data.read import SUFFIXES, read_image
from structseg.refine import DenseCRF, dense_crf
from structseg.refine.dense_crf import energy_of_probabilities

HEIGHT, WIDTH, STEPS = 375, 500, 10
INSTALL = '.venv/bin/python -m pip install -c constraints.txt -e ".[oracle]"'
GAUSSIAN, BILATERAL = (3.0, 3.0), (80.0, 13.0, 10.0)
Image = NDArray[np.uint8]
Array = NDArray[np.float32]


def pictures(folder: Path | None, count: int) -> Iterator[tuple[str, Image]]:
    """Names and pictures (HEIGHT,WIDTH,3)."""
    yield "scene", scenes.render(0, 0, size=(HEIGHT, WIDTH)).image
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES) if folder else []
    for file in files[:: max(1, len(files) // max(1, count))][:count]:
        yield file.stem, cv2.resize(read_image(file), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def guesses(classes: int) -> Array:
    """Probabilities (C,HEIGHT,WIDTH) of smooth regions with noise."""
    generator = np.random.default_rng(0)

    def field(cell: int) -> Array:
        noise = generator.standard_normal((classes, HEIGHT // cell + 2, WIDTH // cell + 2)).astype(np.float32)
        return np.stack([cv2.resize(each, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for each in noise])

    logits = 3 * field(40) + field(1)
    return torch.from_numpy(logits).softmax(0).numpy()


def oracle() -> Callable[[Image, Array], Array] | None:
    """The C++ build, as its users call it."""
    try:
        from pydensecrf import densecrf
    except ImportError:
        print(f"pydensecrf2 is not installed: left out; to compare with it: {INSTALL}")
        return None

    def run(image: Image, energies: Array) -> Array:
        crf = densecrf.DenseCRF2D(WIDTH, HEIGHT, len(energies))
        crf.setUnaryEnergy(np.ascontiguousarray(energies.reshape(len(energies), -1)))
        crf.addPairwiseGaussian(sxy=GAUSSIAN[0], compat=GAUSSIAN[1])
        crf.addPairwiseBilateral(sxy=BILATERAL[0], srgb=BILATERAL[1], rgbim=image.copy(), compat=BILATERAL[2])
        return np.array(crf.inference(STEPS), np.float32).reshape(energies.shape)

    return run


def in_turns(forms: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Least milliseconds of each form."""
    times = dict.fromkeys(forms, float("inf"))
    for _ in range(rounds):
        for name, form in forms.items():
            start = clock()
            form()
            times[name] = min(times[name], 1000 * (clock() - start))
    return times


def compare(name: str, image: Image, classes: int, rounds: int, public: Callable[..., Array] | None) -> float:
    """Print times and differences; how many times faster than the C++ build, NaN without it."""
    probabilities = guesses(classes)
    energies = energy_of_probabilities(probabilities)
    ours, crf = dense_crf(image, probabilities), DenseCRF(image)
    forms: dict[str, Callable[[], Any]] = {
        "structseg": lambda: dense_crf(image, probabilities),
        "lattices kept": lambda: crf.infer(energies),
    }
    if public:
        forms["C++"] = lambda: public(image, energy_of_probabilities(probabilities))
    times = in_turns(forms, rounds, time.process_time)
    line = f"  {name:14} {classes:2} classes  " + "  ".join(f"{form} {took:6.1f} ms" for form, took in times.items())
    print(line, end="" if public else "\n")
    if not public:
        return float("nan")
    theirs = public(image, energies)
    ratio = times["C++"] / times["structseg"]
    same = (ours.argmax(0) == theirs.argmax(0)).mean()
    changed = (theirs.argmax(0) != probabilities.argmax(0)).mean()
    print(
        f"  {ratio:.2f} x faster, kept {times['C++'] / times['lattices kept']:.2f} x; probabilities differ by "
        f"{np.abs(ours - theirs).max():.0e}, labels equal {same:.3%}, changed by the CRF {changed:.0%}"
    )
    return ratio


def compare_threads(image: Image, rounds: int) -> None:
    """Wall time of the whole with one and two threads."""
    probabilities = guesses(21)

    def with_threads(count: int) -> Array:
        torch.set_num_threads(count)
        return dense_crf(image, probabilities)

    times = in_turns({"1": lambda: with_threads(1), "2": lambda: with_threads(2)}, rounds, time.perf_counter)
    apart = np.abs(with_threads(1) - with_threads(2)).max()
    torch.set_num_threads(1)
    print(f"two threads, wall time: {times['1'] / times['2']:.2f} x one; probabilities differ by {apart:.0e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a folder of photographs")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    public = oracle()
    print(f"dense CRF, {HEIGHT}x{WIDTH}, {STEPS} steps, one thread")
    for classes in (21, 3):
        ratios = [
            compare(name, image, classes, arguments.rounds, public)
            for name, image in pictures(arguments.pictures, arguments.count)
        ]
        if public:
            print(f"  {classes} classes: {np.median(ratios):.2f} x faster (median), {min(ratios):.2f} x at least")
    compare_threads(next(pictures(None, 0))[1], arguments.rounds)


if __name__ == "__main__":
    main()
