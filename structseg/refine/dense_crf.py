"""Dense CRF: labels that agree wherever pixels are near, and near and alike in colour. Mean field inference.

Every pixel is joined with every other one by two Gaussian kernels: of place, and of place and colour. With the energy
U_l = -ln p_l of the class l, mean field inference starts from Q = softmax(-U) and repeats

    Q <- softmax(-U + sum over kernels m of w_m F_m(Q))

where F is the lattice filter of `lattice.py`. This is Potts compatibility: w is what two pixels of different classes
pay. With a matrix (C,C) in its place, entry (l, k) is what l pays beside k: -sum over k of matrix[l,k] F(Q)_k.
The message of a pixel to itself is not taken out, which is how all published numbers were made.
Source: Krahenbuhl & Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", NIPS 2011.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from structseg.errors import ConfigError, DataError
from structseg.refine.lattice import build_lattice, check_range, filtered, side_by_side
from structseg.types import Float32, UInt8

Kernel: TypeAlias = Sequence[Any]  # widths, then w or a matrix (C,C)

LANES = 8  # a row's width is a multiple of it
LOG2_E = np.float32(math.log2(math.e))
LEAST, MOST = 1e-3, 1e6  # of widths: below it nothing is near, above it everything; of strengths the latter alone


def dense_crf(
    image: UInt8,
    probabilities: ArrayLike,
    *,
    steps: int = 10,
    gaussian: Kernel | None = (3.0, 3.0),
    bilateral: Kernel | None = (80.0, 13.0, 10.0),
) -> Float32:
    """image (H,W,3) uint8, probabilities (C,H,W), which need not have the sum 1 -> probabilities (C,H,W) float32.

    `gaussian` is (sxy, compatibility), `bilateral` is (sxy, srgb, compatibility): standard deviations in pixels and in
    grey levels, and w or a matrix (C,C), all up to MOST; None leaves the kernel out. For several probabilities of one
    picture keep a `DenseCRF`, half of the work of few classes is in making it. Threads: as many as torch has.
    Raises DataError for arrays that do not fit, ConfigError for other values.
    """
    check_steps(steps)
    crf = DenseCRF(image, gaussian=gaussian, bilateral=bilateral)
    return crf.infer(energy_of_probabilities(probabilities), steps=steps)


def energy_of_probabilities(probabilities: ArrayLike, *, scale: float = 1.0, least: float = 1e-5) -> Float32:
    """probabilities (C,H,W), 0..1 -> energies -ln p (C,H,W), p at least `least`.

    `scale` below 1 trusts them less: p is scale p + (1 - scale) / C. Raises DataError for values that are none.
    """
    values = np.asarray(probabilities, np.float32)
    if values.ndim != 3 or not values.size:
        raise DataError(f"probabilities have shape {values.shape}; give (C,H,W)")
    low, high = values.min(), values.max()
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also where one is NaN
        raise DataError(f"probabilities go from {low:.6g} to {high:.6g}; give finite ones from 0 to 1, not logits")
    for name, share in (("scale", scale), ("least", least)):
        if not _is_number(share) or not 0 < share <= 1:
            raise ConfigError(f"{name} {share!r} is not a number above 0 and up to 1")
    if scale < 1:
        values = np.float32(scale) * values + np.float32((1 - scale) / len(values))
    return np.asarray(-np.log(np.clip(values, np.float32(least), 1)), np.float32)


def energy_of_labels(
    labels: NDArray[np.integer[Any]], *, num_classes: int, confidence: float = 0.7, ignore_index: int = 255
) -> Float32:
    """labels (H,W) -> energies (C,H,W): -ln confidence of the label, the rest shared by the other classes.

    A pixel with `ignore_index` is unsure: all classes alike. Raises DataError for a label that is no class.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels are {labels.dtype} {labels.shape}; give class ids (H,W)")
    if not isinstance(num_classes, Integral) or num_classes < 2:
        raise ConfigError(f"num_classes is {num_classes!r}; a CRF needs two classes or more to choose from")
    if not _is_number(confidence) or not 0 < confidence < 1:
        raise ConfigError(f"confidence {confidence!r} is not a number between 0 and 1")
    known = labels != ignore_index
    stray = labels[known & ((labels < 0) | (labels >= num_classes))]
    if stray.size:
        raise DataError(f"labels hold {stray[0]}, but classes are 0..{num_classes - 1} and {ignore_index} is ignored")
    energies = np.full((num_classes, *labels.shape), -math.log((1 - confidence) / (num_classes - 1)), np.float32)
    energies[:, ~known] = math.log(num_classes)
    y, x = np.nonzero(known)
    energies[labels[y, x], y, x] = -math.log(confidence)
    return energies


class DenseCRF:
    """The CRF of one picture: its lattices, made once, for any number of energies, classes and steps.

    Arguments as for `dense_crf`.
    """

    def __init__(
        self,
        image: UInt8,
        *,
        gaussian: Kernel | None = (3.0, 3.0),
        bilateral: Kernel | None = (80.0, 13.0, 10.0),
    ) -> None:
        _check_image(image)
        check_kernels(gaussian, bilateral)
        self.size = (image.shape[0], image.shape[1])
        kernels = _kernels(*_pixels(image), gaussian, bilateral)
        from structseg.compiled import threads  # loads Numba

        with threads(_wanted_threads()) as workers:
            lattices = [build_lattice(features, workers=workers) for features, _ in kernels]
        self.lattice = side_by_side(lattices)
        self.matrices = [None if isinstance(c, Real) else np.asarray(c, np.float64) for _, c in kernels]
        factors = [float(c) if isinstance(c, Real) else 1.0 for _, c in kernels]
        self.strength = np.repeat(factors, [each.corners.shape[1] for each in lattices])  # (K,)

    def infer(self, energies: ArrayLike, *, steps: int = 10) -> Float32:
        """energies (C,H,W) -> probabilities (C,H,W) after so many steps; 0 = their softmax."""
        from structseg.compiled import threads
        from structseg.refine.mean_field_loops import TILE, blur, mean_field

        check_steps(steps)
        given = np.asarray(energies, np.float32)
        logits = self._logits(given)
        classes, points, width = len(given), len(logits), logits.shape[1]
        strength = (LOG2_E * self.strength).astype(np.float32)
        found, none = np.empty((classes, points), np.float32), np.empty((0, 0), np.float32)
        with threads(_wanted_threads()) as workers:
            table, spare = np.zeros((2, self.lattice.rows, width), np.float32)
            tables = np.zeros((workers, *table.shape), np.float32)
            scratch = np.empty((workers, TILE * width), np.float32)
            for step in range(steps + 1):
                out = found if step == steps else none
                mean_field(
                    logits, self.lattice.corners, self.lattice.weights, strength, table, tables, scratch, step == 0, out
                )
                if step < steps:
                    blur(tables, table, spare, self.lattice.beside, self.lattice.parts, False)
                    self._mix(table, classes)
        return found.reshape(classes, *self.size)

    def messages(self, values: NDArray[Any], *, reverse: bool = False) -> NDArray[Any]:
        """Probabilities (N,C) float32 or float64, N = H W -> what pixels tell each other, (N,C), to be added to logits.

        It is linear; `reverse` gives the transposed operation. Raises DataError for an array that does not fit.
        """
        from structseg.compiled import threads

        points = math.prod(self.size)
        if values.ndim != 2 or len(values) != points or values.dtype not in (np.float32, np.float64):
            raise DataError(f"the values are {values.dtype} {values.shape}; give ({points},C) float32 or float64")
        self._check_matrices(values.shape[1])

        def mix(table: NDArray[Any]) -> None:
            self._mix(table, values.shape[1], reverse=reverse)

        with threads(_wanted_threads()) as workers:
            return filtered(values, self.lattice, self.strength, workers=workers, reverse=reverse, mix=mix)

    def _mix(self, table: NDArray[Any], classes: int, *, reverse: bool = False) -> None:
        """Apply the compatibility matrices to the blurred table (R,width) in place."""
        for (first, corners, *_), matrix in zip(self.lattice.parts, self.matrices, strict=True):
            if matrix is not None:
                rows = table[first : first + corners, :classes]
                rows[:] = -rows @ (matrix if reverse else matrix.T).astype(table.dtype)

    def _check_matrices(self, classes: int) -> None:
        for matrix in self.matrices:
            if matrix is not None and matrix.shape != (classes, classes):
                raise ConfigError(f"a compatibility matrix is {matrix.shape}, but there are {classes} classes")

    def _logits(self, given: Float32) -> Float32:
        """energies (C,H,W) -> (N,width) float32 for `mean_field`: in exponents of 2, rows filled up to whole chunks."""
        if given.ndim != 3 or not len(given) or given.shape[1:] != self.size:
            raise DataError(
                f"the energies or probabilities are {given.shape}, the picture is {self.size}; give (C,H,W)"
            )
        if not np.isfinite(given).all():
            raise DataError("the energies hold a value that is not finite")
        self._check_matrices(len(given))
        from structseg.refine.mean_field_loops import NONE

        logits = np.full((given[0].size, -(-len(given) // LANES) * LANES), NONE, np.float32)
        logits[:, : len(given)] = given.reshape(len(given), -1).T
        logits[:, : len(given)] *= -LOG2_E
        return logits


def check_steps(steps: object) -> None:
    """Raise ConfigError unless `steps` is a whole number from 0 on."""
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < 0:
        raise ConfigError(f"steps {steps!r} of a dense CRF is not a whole number from 0 on; 10 is usual")


def check_kernels(gaussian: Kernel | None, bilateral: Kernel | None, *, prefix: str = "") -> None:
    """Raise ConfigError for widths or compatibilities that mean nothing; `prefix` comes before a kernel's name."""
    if gaussian is None and bilateral is None:
        raise ConfigError("a dense CRF needs a kernel: give gaussian, bilateral or both")
    for name, kernel, parts in (
        ("gaussian", gaussian, ("sxy", "compatibility")),
        ("bilateral", bilateral, ("sxy", "srgb", "compatibility")),
    ):
        if kernel is None:
            continue
        if not isinstance(kernel, Sequence | np.ndarray) or len(kernel) != len(parts):
            shown = tuple(kernel) if isinstance(kernel, Sequence | np.ndarray) else kernel
            raise ConfigError(f"{prefix}{name} {shown!r} of a dense CRF; give ({', '.join(parts)})")
        for part, value in zip(parts[:-1], kernel[:-1], strict=True):
            if not _is_number(value) or not LEAST <= value <= MOST:
                found = f"{prefix}{name}: {part} {value!r} of a dense CRF"
                raise ConfigError(f"{found} is not a number from {LEAST:g} to {MOST:g}")
        _check_compatibility(prefix + name, kernel[-1])


def check_widths(size: tuple[int, int], gaussian: Kernel | None, bilateral: Kernel | None, *, prefix: str = "") -> None:
    """Raise ConfigError where widths are too small for a picture of this (height, width) with all grey levels."""
    check_kernels(gaussian, bilateral, prefix=prefix)
    height, width = size
    corner, white = np.array([[width - 1], [height - 1]], np.float32), np.full((3, 1), 255, np.float32)
    for name, kernels in (("gaussian", (gaussian, None)), ("bilateral", (None, bilateral))):
        for features, _ in _kernels(corner, white, *kernels):
            try:
                check_range(features)
            except ConfigError as error:
                raise ConfigError(f"{prefix}{name}, a picture of {width}x{height}: {error}") from None


def _check_compatibility(name: str, value: Any) -> None:
    if isinstance(value, Real):
        if not _is_number(value) or not 0 <= value <= MOST:
            raise ConfigError(f"{name}: compatibility {value!r} of a dense CRF is not a number from 0 to {MOST:g}")
        return
    try:
        matrix = np.asarray(value)
    except ValueError:  # rows of several lengths
        matrix = np.zeros(0)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not (np.abs(matrix) <= MOST).all():
        raise ConfigError(
            f"{name}: compatibility of a dense CRF; give a number or a matrix (C,C) of numbers up to {MOST:g}"
        )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_image(image: object) -> None:
    if not isinstance(image, np.ndarray):
        raise DataError(f"the picture is a {type(image).__name__}; give RGB (H,W,3) uint8")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"the picture is {image.dtype} {image.shape}; give RGB (H,W,3) uint8")


def _pixels(image: UInt8) -> tuple[Float32, Float32]:
    """(H,W,3) -> x and y (2,N), colours (3,N)."""
    rows, columns = image.shape[:2]
    places = np.stack([np.tile(np.arange(columns), rows), np.repeat(np.arange(rows), columns)]).astype(np.float32)
    return places, image.reshape(-1, 3).T.astype(np.float32)


def _kernels(
    places: Float32, colours: Float32, gaussian: Kernel | None, bilateral: Kernel | None
) -> list[tuple[Float32, Any]]:
    """Features (2,N) or (5,N), x y or x y R G B in units of their widths, and the compatibility of each kernel."""
    found: list[tuple[Float32, Any]] = []
    if gaussian is not None:
        found.append((places / np.float32(gaussian[0]), gaussian[1]))
    if bilateral is not None:
        both = np.concatenate([places / np.float32(bilateral[0]), colours / np.float32(bilateral[1])])
        found.append((both, bilateral[2]))
    return found


def _wanted_threads() -> int:
    from torch import get_num_threads

    return get_num_threads()
