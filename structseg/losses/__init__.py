"""Losses: modules `(logits (B,C,h,w), target (B,H,W)) -> scalar` that any training code can use as they are."""

from structseg.losses.active_boundary import ActiveBoundary as ActiveBoundary
from structseg.losses.adaptive_affinity_field import AdaptiveAffinityField as AdaptiveAffinityField
from structseg.losses.affinity_field import AffinityField as AffinityField
from structseg.losses.boundary_dou import BoundaryDoU as BoundaryDoU
from structseg.losses.cl_dice import ClDice as ClDice
from structseg.losses.cross_entropy import CrossEntropy as CrossEntropy
from structseg.losses.dice import Dice as Dice
from structseg.losses.embedding_contrast import EmbeddingContrast as EmbeddingContrast
from structseg.losses.focal import Focal as Focal
from structseg.losses.lovasz import Lovasz as Lovasz
from structseg.losses.ohem import OHEM as OHEM
from structseg.losses.random_projection import RandomProjection as RandomProjection
from structseg.losses.rmi import RMI as RMI
from structseg.losses.tversky import Tversky as Tversky
