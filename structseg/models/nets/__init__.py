"""One published network a file: a function or class `(*, num_classes, preset="default", ...)` -> module.

A net takes RGB pictures 0..255, normalises them itself and returns `structseg.types.Output`.
"""
