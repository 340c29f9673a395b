"""Specs: agent snapshots, kept once for all runs that share them, by the hash of their bytes."""

from hashlib import sha256
from typing import Final, NamedTuple

from pydantic_core import to_json

from agent_server.messages import JsonObject

__all__ = ["DELETE_UNUSED_SPEC", "INSERT_SPEC", "EncodedSpec", "encode_spec"]

INSERT_SPEC: Final = (
    "INSERT INTO specs (tenant, sha256, spec) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
)
DELETE_UNUSED_SPEC: Final = (
    "DELETE FROM specs WHERE tenant = ?1 AND sha256 = ?2 AND NOT EXISTS ("
    "SELECT 1 FROM runs WHERE spec_sha256 = ?2 AND tenant = ?1)"
)


class EncodedSpec(NamedTuple):
    """A spec as it is kept; ``sha256`` is the hex digest of ``text``."""

    sha256: str
    text: str


def encode_spec(spec: JsonObject) -> EncodedSpec:
    """Encode a spec: equal ones, their keys in the same order, share one row."""
    data = to_json(spec)
    return EncodedSpec(sha256(data).hexdigest(), data.decode())
