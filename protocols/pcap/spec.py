"""Numbers of the capture formats and of the headers inside a frame.

Sources: draft-ietf-opsawg-pcap (classic format), draft-ietf-opsawg-pcapng (blocks, options), the
tcpdump.org list of link types, RFC 791 (IPv4), RFC 768 (UDP), IEEE 802.1Q (VLAN tags).
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
BLOCK_BODY_AT = 8
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
OPTION_TIME_RESOLUTION = 9
OPTION_TIME_OFFSET = 14
RESOLUTION_POWER_OF_TWO = 0x80
RESOLUTION_US = 6
RESOLUTION_NS = 9

# Link types (LINKTYPE_ values of tcpdump.org).
LINK_ETHERNET = 1
LINK_RAW_IP = 101
LINK_SLL = 113
LINK_IPV4 = 228
LINK_SLL2 = 276
LINKS_SUPPORTED = (LINK_ETHERNET, LINK_RAW_IP, LINK_SLL, LINK_IPV4, LINK_SLL2)
LINK_MASK = 0xFFFF
"""Upper bits of a classic file's link word describe a frame check sequence, which is cut off."""

ETHERNET_HEADER_BYTES = 14
ETHERNET_TYPE_AT = 12
SLL_HEADER_BYTES = 16
SLL_TYPE_AT = 14
SLL2_HEADER_BYTES = 20
SLL2_TYPE_AT = 0
VLAN_TAG_BYTES = 4
VLAN_TYPE_AT = 2

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_QINQ = 0x88A8
ETHERTYPE_QINQ_OLD = 0x9100

IPV4_HEADER_BYTES_MIN = 20
IPV4_LENGTH_AT = 2
IPV4_FRAGMENT_AT = 6
IPV4_FRAGMENT_MASK = 0x3FFF
"""More-fragments bit and fragment offset: all zero in a datagram that came whole."""
IPV4_PROTOCOL_AT = 9
IPV4_SOURCE_AT = 12
IPV4_DESTINATION_AT = 16
IP_PROTOCOL_UDP = 17
UDP_HEADER_BYTES = 8
UDP_DESTINATION_AT = 2
UDP_LENGTH_AT = 4


class Skip(IntEnum):
    """Why a frame gave no UDP payload; the counters of skipped frames are indexed by it."""

    NONE = 0
    NOT_IPV4 = 1
    NOT_UDP = 2
    FRAGMENT = 3
    """A part of a fragmented IP datagram: fragments are not put together."""
    BAD_LENGTH = 4
    """The lengths in the IP or UDP header contradict each other or the frame."""
    SNAPLEN = 5
    """The capture kept fewer bytes than were on the wire, and the UDP payload is not whole."""
    UNKNOWN_LINK = 6
    """The interface's link type is none of LINKS_SUPPORTED."""
    UNKNOWN_INTERFACE = 7
    """The packet names an interface that its section did not describe."""
