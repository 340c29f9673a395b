"""Identifiers: a prefix and 26 Crockford base32 characters, sortable by time of creation.

48 bits of milliseconds, then 80 random bits (the ULID layout), so ids cannot be guessed.
"""

import secrets
import time
from typing import Literal

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_LENGTH = 26

Prefix = Literal["run", "thread", "key", "req", "call", "msg"]


def new_id(prefix: Prefix) -> str:
    """Make an id such as ``run_01KAW…``; later ids sort after earlier ones, to the millisecond."""
    value = (time.time_ns() // 1_000_000 << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    digits = [_ALPHABET[value >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(digits)}"
