"""Whole numbers come out of the database as plain `int`, also those that BSON keeps in 64 bits (pymongo gives a class of its own)."""

from typing import Final

from bson.codec_options import TypeDecoder, TypeRegistry
from bson.int64 import Int64


class _PlainNumbers(TypeDecoder):
    bson_type = Int64

    def transform_bson(self, value: int) -> int:
        return int(value)


PLAIN_NUMBERS: Final = TypeRegistry([_PlainNumbers()])
