"""CRC-32C (Castagnoli): the sum that TensorFlow keeps of every block and variable."""

from __future__ import annotations

from typing import Any

import numpy as np

from structseg.compiled import compiled


def _table() -> Any:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


TABLE = _table()


@compiled()
def crc32c(values: Any) -> Any:
    """Of an array of uint8."""
    crc = np.uint32(0xFFFFFFFF)
    for place in range(values.size):
        crc = TABLE[(crc ^ values[place]) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)
