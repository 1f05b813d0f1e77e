"""How well do the regions of a class overlap? The soft Dice loss.

    1 - mean_c 2 sum p y / (sum p + sum y)

p probabilities, y one-hot truth, sums over all labelled pixels of the batch, mean over the classes that occur in it.
It is the Tversky loss whose two errors weigh 1/2 each.
Source: Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, who square p and y in the divisor; this is the linear form of
Sudre et al., "Generalised Dice overlap as a deep learning loss function", DLMIA 2017, without class weights.
"""

from __future__ import annotations

from structseg.losses.tversky import Tversky


class Dice(Tversky):
    """Dice loss of logits (B,C,h,w) against a target (B,H,W) sampled at (h,w); C = 1 means sigmoid.

    Option: `ignore_index`. Raises ConfigError for others. It is a ratio of sums over the batch and does not decompose:
    no `parts`.
    """

    def __init__(self, *, ignore_index: int = 255) -> None:
        super().__init__(ignore_index=ignore_index, alpha=0.5, beta=0.5)
