"""Whole ITCH messages to and from named values, by the table: the cold path of tools and tests.

Source: TotalView-ITCH 5.0, edition 2023; the layouts are those of `spec.py`. Framing (MoldUDP64,
SoupBinTCP, BinaryFILE) is not part of a message. The hot path decodes the same table with kernels.
"""

from protocols.itch50.spec import BY_TYPE
from protocols.message import Codec

CODEC = Codec("ITCH 5.0", BY_TYPE)
decode = CODEC.decode
encode = CODEC.encode
