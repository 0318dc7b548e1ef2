"""Whole OUCH messages to and from named values, by the table, a codec for each way.

Source: O*U*C*H 4.2, edition of July 2019; the layouts are those of `spec.py`. SoupBinTCP, which
carries them, is not part of a message.
"""

from protocols.message import Codec
from protocols.ouch42.spec import INBOUND_BY_TYPE, OUTBOUND_BY_TYPE

INBOUND = Codec("OUCH 4.2 to the host", INBOUND_BY_TYPE)
"""Client to host."""
OUTBOUND = Codec("OUCH 4.2 from the host", OUTBOUND_BY_TYPE)
"""Host to client."""
