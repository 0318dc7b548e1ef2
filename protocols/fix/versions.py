"""The FIX versions that a session can speak, as data: what differs between them at session level.

Source: FIX 4.2 with errata 20010501, FIX 4.4 with errata 20030618, FIXT 1.1 with FIX 5.0 SP2
(volume 1, appendix on ApplVerID). Fields and messages of each version are in the dictionaries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocols.errors import LocalProtocolError
from protocols.fix.spec import SessionRejectReason


@dataclass(frozen=True, slots=True)
class Version:
    """One version: the BeginString that names it on the wire, and what its session layer has.

    `application` names the application messages; over FIXT, `appl_ver_id` is its ApplVerID (1128,
    1137), empty where the transport says it. `reject_reason_max` is its highest SessionRejectReason
    (373); a reason beyond it is said in Text alone.
    """

    begin_string: bytes
    application: str
    appl_ver_id: bytes
    reject_reason_max: int
    has_next_expected: bool

    @property
    def name(self) -> str:
        """As a person writes it: `FIX.4.4`, `FIXT.1.1`."""
        return self.begin_string.decode()


VERSIONS: Mapping[bytes, Version] = MappingProxyType(
    {
        item.begin_string: item
        for item in (
            Version(
                begin_string=b"FIX.4.2",
                application="FIX.4.2",
                appl_ver_id=b"",
                reject_reason_max=SessionRejectReason.INVALID_MSG_TYPE,
                has_next_expected=False,
            ),
            Version(
                begin_string=b"FIX.4.4",
                application="FIX.4.4",
                appl_ver_id=b"",
                reject_reason_max=SessionRejectReason.VALUE_HOLDS_SEPARATOR,
                has_next_expected=True,
            ),
            Version(
                begin_string=b"FIXT.1.1",
                application="FIX.5.0SP2",
                appl_ver_id=b"9",
                reject_reason_max=SessionRejectReason.UNSUPPORTED_APPLICATION_VERSION,
                has_next_expected=True,
            ),
        )
    }
)
"""Every version that a session can speak, by BeginString."""


def version_of(begin_string: bytes) -> Version:
    """The version of a BeginString; LocalProtocolError when it is none that we speak."""
    version = VERSIONS.get(begin_string)
    if version is None:
        known = ", ".join(item.name for item in VERSIONS.values())
        raise LocalProtocolError(f"BeginString {begin_string!r} is not supported; one of {known}")
    return version
