"""Dictionaries of the versions that this project speaks, read from `data/` when first asked for."""

from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.formats import FORMATS
from protocols.fix.dictionary.model import Dictionary, FieldDef, Layouts, MessageDef

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1", "FIX.5.0SP2")
"""BeginString of each session protocol; FIX.5.0SP2 is the application version above FIXT.1.1."""

_OPEN_SET = "..."
_NO_VALUES: MappingProxyType[bytes, str] = MappingProxyType({})


@lru_cache(maxsize=len(VERSIONS))
def load_dictionary(begin_string: str) -> Dictionary:
    """The dictionary of a version; LocalProtocolError when it is none of `VERSIONS`."""
    if begin_string not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise LocalProtocolError(f"no data dictionary for {begin_string!r}; there are {known}")
    file = files("protocols.fix.dictionary") / "data" / f"{begin_string}.txt"
    return parse_dictionary(file.read_text(encoding="ascii"))


def parse_dictionary(text: str) -> Dictionary:
    """A dictionary from the text of a data file; LocalProtocolError with the offending line.

    A line is a statement, one that starts with a space goes on with the line before:
    `version NAME`, `header LAYOUT`, `trailer LAYOUT`, `data LENGTH_TAG DATA_TAG …`,
    `message TYPE admin|app NAME LAYOUT`, `component NAME LAYOUT`,
    `field TAG TYPE NAME [VALUE=NAME …] [...]`; layouts are as in `Layouts`.
    """
    version, header, trailer = "", "", ""
    data: dict[int, int] = {}
    fields: dict[int, FieldDef] = {}
    components: dict[str, str] = {}
    messages: dict[bytes, MessageDef] = {}
    layouts = Layouts(components)
    for line in text.replace("\n ", " ").splitlines():
        kind, _, rest = line.partition(" ")
        try:
            match kind:
                case "field":
                    item = _field(rest.split())
                    fields[item.tag] = item
                case "component":
                    name, _, layout = rest.partition(" ")
                    components[name] = layout
                case "message":
                    msg_type, category, name, layout = f"{rest} ".split(" ", 3)
                    is_admin = {"admin": True, "app": False}[category]
                    code = msg_type.encode()
                    messages[code] = MessageDef(code, name, is_admin, layout, layouts)
                case "version":
                    version = rest
                case "header":
                    header = rest
                case "trailer":
                    trailer = rest
                case "data":
                    tags = [int(tag) for tag in rest.split()]
                    data = dict(zip(tags[::2], tags[1::2], strict=True))
                case "#":
                    pass
                case _:
                    raise ValueError(kind)
        except (KeyError, ValueError) as error:
            raise LocalProtocolError(f"data dictionary: cannot read {line[:80]!r}") from error
    return Dictionary(
        begin_string=version,
        fields=MappingProxyType(fields),
        messages=MappingProxyType(messages),
        header=layouts.resolve(header),
        trailer=layouts.resolve(trailer),
        data_tag_of_length=MappingProxyType(data),
    )


def _field(words: list[str]) -> FieldDef:
    """A field from `TAG TYPE NAME [VALUE=NAME …] [...]`; ValueError or KeyError when it is none."""
    tag, type_name, name, *values = words
    FORMATS[type_name]
    is_open = values[-1:] == [_OPEN_SET]
    if not values:
        return FieldDef(int(tag), name, type_name, _NO_VALUES, is_open)
    pairs = (value.split("=") for value in values if value != _OPEN_SET)
    names = {code.encode(): meaning for code, meaning in pairs}
    return FieldDef(int(tag), name, type_name, MappingProxyType(names), is_open)
