"""Losses: modules `(logits (B,C,h,w), target (B,H,W)) -> scalar` that any training code can use as they are."""

from structseg.losses.adaptive_affinity_field import AdaptiveAffinityField as AdaptiveAffinityField
from structseg.losses.affinity_field import AffinityField as AffinityField
from structseg.losses.cross_entropy import CrossEntropy as CrossEntropy
