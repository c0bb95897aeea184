"""The identity of rows: a hash that tells them apart, the same in every version and wherever it is computed."""

from hashlib import blake2b

import numpy as np
import pandas as pd

from gitmodel.contract.schema import Schema
from gitmodel.contract.table import is_text

HEX = np.array([f"{byte:02x}".encode() for byte in range(256)])


def identity_columns(schema: Schema) -> list[str]:
    """Return the columns that tell rows apart: the id, or without one those of `identity`."""
    return [schema.id] if schema.id else list(schema.identity)


def row_hash(identity: pd.DataFrame) -> np.ndarray:
    """Return the (n,) uint64 hash of each row; the order of columns and the version of pandas do not matter."""
    total = np.zeros(len(identity), dtype=np.uint64)
    for name in identity:
        total += mix(bits(identity[name]) ^ digest(str(name)))
    return mix(total)


def hexadecimal(hashes: np.ndarray) -> np.ndarray:
    """Return (n,) hashes as the ids of rows: 16 hexadecimal digits, `S16`."""
    digits: np.ndarray = HEX[hashes.astype(">u8").view(np.uint8)]
    return digits.view("S16")


def bits(values: pd.Series) -> np.ndarray:
    """Return (n,) uint64 that are equal where the values are, and all ones where they are missing."""
    if is_text(values):
        codes, texts = pd.factorize(values)
        known = np.array([digest(text) for text in texts] + [np.uint64(2**64 - 1)], dtype=np.uint64)
        return known[codes]  # code -1, missing, is the last one
    numbers = values.to_numpy()
    whole = numbers.astype("int64") if numbers.dtype.kind == "M" else (numbers + 0.0).view("int64")  # -0.0 is 0.0
    return np.where(values.isna(), np.uint64(2**64 - 1), whole.view(np.uint64))


def digest(text: str) -> np.uint64:
    """Return the hash of a text."""
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))


def mix(bits: np.ndarray) -> np.ndarray:
    """Scramble uint64 values, the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
