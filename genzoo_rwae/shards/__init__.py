"""Data sets cut into shards: what a folder of them holds, and how one is written."""

from genzoo_rwae.shards.index import (
    INDEX,
    Shard,
    ShardIndex,
    SplitShards,
    check_rows,
    check_values,
    read_index,
    stored_shape,
)
from genzoo_rwae.shards.writing import write_shards, writing_order

__all__ = [
    "INDEX",
    "Shard",
    "ShardIndex",
    "SplitShards",
    "check_rows",
    "check_values",
    "read_index",
    "stored_shape",
    "write_shards",
    "writing_order",
]
