"""Azure's uniqueString and guid, bit for bit: names foretold here are the names that Azure gives."""

from __future__ import annotations

import uuid

__all__ = ["guid", "unique_string"]

_MASK = 0xFFFFFFFF
_C1, _C2 = 0x239B961B, 0xAB0E9789
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


def guid(*values: str) -> str:
    """A version 5 UUID of the values."""
    return str(uuid.uuid5(_GUID_NAMESPACE, "-".join(values)))


def unique_string(*values: str) -> str:
    """13 characters of base 32 from a 64-bit hash of the values, which is case-sensitive."""
    hashed = _murmur64("-".join(values).encode())
    return "".join(_ALPHABET[hashed >> shift & 31] for shift in range(59, 0, -5)) + _ALPHABET[hashed << 1 & 31]


def _murmur64(data: bytes) -> int:
    """Azure's 64-bit relative of MurmurHash3, over two 32-bit lanes."""
    low = high = 0
    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        low ^= _scramble(_word(data, at), _C1, 15, _C2)
        low = ((_rotate(low, 19) + high) * 5 + 0x561CCD1B) & _MASK
        high ^= _scramble(_word(data, at + 4), _C2, 17, _C1)
        high = ((_rotate(high, 13) + low) * 5 + 0x0BCAA747) & _MASK
    low ^= _scramble(_word(data, whole), _C1, 15, _C2)
    high ^= _scramble(_word(data, whole + 4), _C2, 17, _C1)
    low, high = low ^ len(data), high ^ len(data)
    low = (low + high) & _MASK
    high = (high + low) & _MASK
    low, high = _finish(low), _finish(high)
    low = (low + high) & _MASK
    high = (high + low) & _MASK
    return high << 32 | low


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK


def _scramble(value: int, first: int, bits: int, second: int) -> int:
    return _rotate(value * first & _MASK, bits) * second & _MASK


def _finish(value: int) -> int:
    value = (value ^ value >> 16) * 0x85EBCA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & _MASK
    return value ^ value >> 16
