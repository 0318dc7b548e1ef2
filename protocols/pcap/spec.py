"""Numbers of the capture formats and of the headers inside a frame.

Sources: draft-ietf-opsawg-pcap (classic format), draft-ietf-opsawg-pcapng (blocks, options), the
tcpdump.org list of link types, IEEE 802.1Q (VLAN tags), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 4302
(authentication header), RFC 768 (UDP), RFC 9293 (TCP).
Offsets count from the start of the header, record or block that they are named after.
"""

from enum import IntEnum

# Classic pcap: a file header, then records of header + captured bytes.
PCAP_MAGIC_US = 0xA1B2C3D4
PCAP_MAGIC_NS = 0xA1B23C4D
PCAP_VERSION_MAJOR = 2
PCAP_VERSION_MINOR = 4
PCAP_FILE_HEADER_BYTES = 24
PCAP_SNAPLEN_AT = 16
PCAP_LINK_AT = 20
PCAP_RECORD_HEADER_BYTES = 16
PCAP_SUBSECOND_AT = 4
PCAP_CAPTURED_AT = 8
PCAP_WIRE_AT = 12

FRAME_BYTES_MAX = 262_144
"""Longest captured frame that is believed, as in libpcap: a record that claims more is damage."""

# pcapng: blocks of type, total length, body, total length again.
BLOCK_SECTION = 0x0A0D0D0A
BLOCK_INTERFACE = 1
BLOCK_PACKET_OBSOLETE = 2
BLOCK_SIMPLE_PACKET = 3
BLOCK_ENHANCED_PACKET = 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
SECTION_VERSION_MAJOR = 1
BLOCK_LENGTH_AT = 4
BLOCK_OVERHEAD_BYTES = 12
SECTION_BYTES_MIN = 28
SECTION_ORDER_AT = 8
SECTION_VERSION_AT = 12
INTERFACE_BYTES_MIN = 20
INTERFACE_LINK_AT = 8
INTERFACE_SNAPLEN_AT = 12
INTERFACE_OPTIONS_AT = 16
PACKET_BYTES_MIN = 32
PACKET_INTERFACE_AT = 8
PACKET_TIME_AT = 12
PACKET_CAPTURED_AT = 20
PACKET_WIRE_AT = 24
PACKET_DATA_AT = 28
SIMPLE_BYTES_MIN = 16
SIMPLE_WIRE_AT = 8
SIMPLE_DATA_AT = 12
OPTION_END = 0
OPTION_COMMENT = 1
OPTION_NAME = 2
OPTION_TIME_RESOLUTION = 9
OPTION_TIME_OFFSET = 14
RESOLUTION_POWER_OF_TWO = 0x80
RESOLUTION_US = 6
RESOLUTION_NS = 9

# Link types (LINKTYPE_ values of tcpdump.org).
LINK_NULL = 0
LINK_ETHERNET = 1
LINK_RAW_OLD = 12
"""What BSD kernels call raw IP; some files carry it where 101 belongs."""
LINK_RAW_IP = 101
LINK_LOOP = 108
LINK_SLL = 113
LINK_IPV4 = 228
LINK_IPV6 = 229
LINK_SLL2 = 276
LINKS_SUPPORTED = (
    LINK_NULL,
    LINK_ETHERNET,
    LINK_RAW_OLD,
    LINK_RAW_IP,
    LINK_LOOP,
    LINK_SLL,
    LINK_IPV4,
    LINK_IPV6,
    LINK_SLL2,
)
LINK_MASK = 0xFFFF
"""Upper bits of a classic file's link word describe a frame check sequence, which is cut off."""

ETHERNET_HEADER_BYTES = 14
ETHERNET_TYPE_AT = 12
SLL_HEADER_BYTES = 16
SLL_TYPE_AT = 14
SLL2_HEADER_BYTES = 20
SLL2_TYPE_AT = 0
NULL_HEADER_BYTES = 4
"""An address family in the byte order of whichever host captured (NULL), or big-endian (LOOP)."""
FAMILY_IPV4 = 2
FAMILIES_IPV6 = (10, 24, 28, 30)
"""AF_INET6 of Linux; of NetBSD and OpenBSD; of FreeBSD; of macOS."""
VLAN_TAG_BYTES = 4
VLAN_TYPE_AT = 2

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_QINQ = 0x88A8
ETHERTYPE_QINQ_OLD = 0x9100

IPV4_HEADER_BYTES_MIN = 20
IPV4_LENGTH_AT = 2
IPV4_ID_AT = 4
IPV4_FRAGMENT_AT = 6
IPV4_MORE_FRAGMENTS = 0x2000
IPV4_OFFSET_MASK = 0x1FFF
"""Fragment offset, in units of 8 bytes."""
IPV4_PROTOCOL_AT = 9
IPV4_SOURCE_AT = 12
IPV4_DESTINATION_AT = 16
IPV4_MAPPED = 0xFFFF_0000_0000
"""An IPv4 address `a` is kept as the IPv6 address ::ffff:a (RFC 4291, 2.5.5.2)."""

IPV6_HEADER_BYTES = 40
IPV6_LENGTH_AT = 4
IPV6_NEXT_AT = 6
IPV6_SOURCE_AT = 8
IPV6_DESTINATION_AT = 24
IPV6_EXTENSIONS_MAX = 16
"""Extension headers that are followed: a chain is finite anyway, this keeps it short."""
EXTENSION_BYTES_MIN = 8
FRAGMENT_OFFSET_AT = 2
FRAGMENT_OFFSET_MASK = 0xFFF8
FRAGMENT_MORE = 1
FRAGMENT_ID_AT = 4
FRAGMENT_UNIT_BYTES = 8
"""Every fragment but the last is a multiple of it."""
DATAGRAM_BYTES_MAX = 65_535

IP_PROTOCOL_HOP_BY_HOP = 0
IP_PROTOCOL_TCP = 6
IP_PROTOCOL_UDP = 17
IP_PROTOCOL_ROUTING = 43
IP_PROTOCOL_FRAGMENT = 44
IP_PROTOCOL_AUTHENTICATION = 51
IP_PROTOCOL_DESTINATION = 60
IP_PROTOCOL_MOBILITY = 135
IP_PROTOCOL_HOST_IDENTITY = 139
IP_PROTOCOL_SHIM6 = 140

UDP_HEADER_BYTES = 8
UDP_LENGTH_AT = 4
TCP_HEADER_BYTES_MIN = 20
TCP_SEQUENCE_AT = 4
TCP_OFFSET_AT = 12
TCP_FLAGS_AT = 13
TCP_FIN = 0x01
TCP_SYN = 0x02
TCP_RST = 0x04
TCP_PSH = 0x08
TCP_ACK = 0x10


class Skip(IntEnum):
    """Why a frame gave nothing; the counters of skipped frames are indexed by it."""

    NONE = 0
    NOT_IP = 1
    NEITHER_UDP_NOR_TCP = 2
    FRAGMENT = 3
    """A part of an IP datagram whose other parts never came, or contradict it."""
    BAD_LENGTH = 4
    """The lengths in the IP, UDP or TCP header contradict each other or the frame."""
    SNAPLEN = 5
    """The capture kept fewer bytes than were on the wire, and the payload is not whole."""
    UNKNOWN_LINK = 6
    """The interface's link type is none of LINKS_SUPPORTED."""
    UNKNOWN_INTERFACE = 7
    """The packet names an interface that its section did not describe."""
    TCP = 8
    """A TCP segment, where datagrams alone were asked for."""
