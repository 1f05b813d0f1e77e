"""The neighbour kernels behind the losses: `affinity.py` is the door, the forms stand beside it."""

from structseg.losses.kernels.affinity import affinity as affinity
