"""A small dictionary in XML, of our own invention, and what becomes of it."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.load import parse_dictionary
from tools.fix_dictionary import __main__ as command
from tools.fix_dictionary.convert import convert

PROJECT = Path(__file__).parents[4]
XML = """\
<fix type='FIX' major='9' minor='1' servicepack='2'>
 <header><field name='Start' required='Y'/></header>
 <messages>
  <message name='Ask' msgtype='Q' msgcat='app'>
   <field name='Ticket' required='Y'/>
   <component name='Sides' required='Y'/>
   <field name='RawLength' required='N'/><field name='Raw' required='N'/>
  </message>
  <message name='Ping' msgtype='0' msgcat='admin'/>
 </messages>
 <trailer><field name='End' required='Y'/></trailer>
 <components>
  <component name='Sides'>
   <group name='NoSides' required='Y'>
    <field name='Side' required='Y'/><component name='Place' required='N'/>
   </group>
  </component>
  <component name='Place'><field name='City' required='Y'/></component>
 </components>
 <fields>
  <field number='30' name='City' type='STRING'>
   <value enum='XX' description='NOWHERE'/><value enum='Any City' description='CITY'/>
  </field>
  <field number='8' name='Start' type='STRING'/><field number='10' name='End' type='STRING'/>
  <field number='11' name='Ticket' type='STRING'/>
  <field number='20' name='NoSides' type='NUMINGROUP'/>
  <field number='21' name='Side' type='CHAR'>
   <value enum='1' description='BUY'/><value enum='2' description='SELL'/>
  </field>
  <field number='40' name='RawLength' type='LENGTH'/><field number='41' name='Raw' type='DATA'/>
  <field number='50' name='Blob' type='DATA'/><field number='51' name='BlobLen' type='LENGTH'/>
 </fields>
</fix>
"""
LINES = """\
version FIX.9.1SP2
header 8!
trailer 10!
data 40 41 51 50
message Q app Ask 11! @Sides! 40 41
message 0 admin Ping
component Sides 20!( 21! @Place )
component Place 30!
field 8 STRING Start
field 10 STRING End
field 11 STRING Ticket
field 20 NUMINGROUP NoSides
field 21 CHAR Side 1=BUY 2=SELL
field 30 STRING City XX=NOWHERE ...
field 40 LENGTH RawLength
field 41 DATA Raw
field 50 DATA Blob
field 51 LENGTH BlobLen
"""


def test_every_part_of_the_xml_becomes_a_line():
    text = convert(XML.encode(), "SMALL.xml")
    head, lines = text.split("\n", 2)[:2], text.split("\n", 2)[2]
    assert head == [
        "# Written by `python -m tools.fix_dictionary SMALL.xml`; do not edit.",
        f"# sha256 of SMALL.xml: {hashlib.sha256(XML.encode()).hexdigest()}",
    ]
    assert lines == LINES


def test_what_is_written_is_read_back():
    dictionary = parse_dictionary(convert(XML.encode(), "SMALL.xml"))
    ask = dictionary.messages[b"Q"]
    assert [item.tag for item in ask.members if item.is_required] == [11, 20]
    group = ask.members[1].group
    assert group is not None
    assert [(item.tag, item.is_required) for item in group.members] == [(21, True), (30, False)]


def test_long_lines_go_on_with_a_space():
    values = "".join(f"<value enum='{n}' description='NUMBER_{n}'/>" for n in range(40))
    xml = XML.replace("type='NUMINGROUP'/>", f"type='NUMINGROUP'>{values}</field>")
    text = convert(xml.encode(), "SMALL.xml")
    assert max(map(len, text.splitlines())) <= 100
    assert len(parse_dictionary(text).fields[20].values) == 40


def test_parts_that_are_missing_are_empty():
    text = convert(b"<fix type='FIXT' major='1' minor='0'><messages/></fix>", "NONE.xml")
    assert text.splitlines()[2:] == ["version FIXT.1.0", "header", "trailer", "data"]


def test_the_empty_component_of_the_logon_over_fixt_is_filled_in():
    xml = (
        "<fix type='FIXT' major='1' minor='1'><messages/>"
        "<components><component name='MsgTypeGrp'/></components><fields/></fix>"
    )
    lines = convert(xml.encode(), "FIXT11.xml").splitlines()
    assert "component MsgTypeGrp 384( 372 385 1130 1406 1131 1410 )" in lines
    assert "field 1410 BOOLEAN DefaultVerIndicator N=NO Y=YES" in lines


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "name='RawLength' required='N'/>",
            "name='Side' required='N'/>",
            "Ask: a tag occurs twice",
        ),
        ("<field name='Ticket' required='Y'/>", "<field name='End' required='Y'/>", "occurs twice"),
        ("<field name='Side' required='Y'/>", "<field name='Ticket' required='Y'/>", "Ask: a tag"),
        ("name='BlobLen' type='LENGTH'", "name='BlobSize' type='LENGTH'", "Blob has no length"),
        ("type='CHAR'", "type='GLYPH'", "cannot read"),
    ],
)
def test_xml_that_the_checks_could_not_rely_on_is_refused(old: str, new: str, problem: str):
    assert old in XML
    with pytest.raises(LocalProtocolError, match=problem):
        convert(XML.replace(old, new).encode(), "SMALL.xml")


def test_the_command_prints_a_data_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "SMALL.xml"
    path.write_text(XML)
    monkeypatch.setattr(sys, "argv", ["fix_dictionary", str(path)])
    assert command.main() == 0
    assert capsys.readouterr().out == convert(XML.encode(), "SMALL.xml")


def test_the_command_asks_for_one_file():
    run = [sys.executable, "-m", "tools.fix_dictionary"]
    missing = subprocess.run(run, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert missing.stderr.startswith("usage:")
