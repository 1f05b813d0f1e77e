"""Small parts that backbones, heads and nets share."""
