from __future__ import annotations

import pytest

from db.chips.registers import CHIP_TYPES, chip_type, connectivity_types


def test_every_register_is_known() -> None:
    counts = {name: len(chip_type(name).registers) for name in CHIP_TYPES}
    assert counts == {"RD53A": 170, "RD53B": 216, "ITKPIXV2": 242, "FE-I4B": 0}
    words = {name: len({r.address for r in chip_type(name).registers.values()}) for name in CHIP_TYPES}
    assert words == {"RD53A": 138, "RD53B": 138, "ITKPIXV2": 157, "FE-I4B": 0}


@pytest.mark.parametrize("name", CHIP_TYPES)
def test_registers_do_not_overlap_and_their_defaults_fit(name: str) -> None:
    used: dict[int, int] = {}
    for register in chip_type(name).registers.values():
        assert register.bits > 0
        assert register.offset + register.bits <= 16
        assert 0 <= register.default <= register.most
        assert 0 <= register.shipped <= register.most
        mask = register.most << register.offset
        assert not used.get(register.address, 0) & mask, register
        used[register.address] = used.get(register.address, 0) | mask


def test_some_facts() -> None:
    rd53b = chip_type("RD53B")
    assert (rd53b.cols, rd53b.rows, rd53b.size) == (400, 384, 153600)
    threshold = rd53b.registers["DiffTh1L"]
    assert (threshold.address, threshold.bits, threshold.default, threshold.shipped) == (17, 10, 350, 200)
    assert chip_type("ITKPIXV2").registers["GlobalPulseWidth"].bits == 9
    assert rd53b.registers["GlobalPulseWidth"].bits == 8
    assert set(rd53b.registers) - set(chip_type("ITKPIXV2").registers) >= {"CdrOverwriteLimit", "DataEnEos"}
    assert len(rd53b.parameters) == 17
    fe_i4 = chip_type("FE-I4B")
    assert (fe_i4.cols, fe_i4.rows, fe_i4.lines, fe_i4.length, fe_i4.first) == (80, 336, 336, 80, 1)


def test_flavours_of_rd53a() -> None:
    kind = chip_type("RD53A")
    assert [kind.flavour(col).name for col in (0, 127, 128, 263, 264, 399)] == ["SYNC"] * 2 + ["LIN"] * 2 + ["DIFF"] * 2
    with pytest.raises(ValueError, match="no column 400"):
        kind.flavour(400)
    least, most = kind.tdac_range()
    assert (least[263], most[263], least[264], most[264]) == (0, 15, -15, 15)


def test_names_in_connectivity_files() -> None:
    assert connectivity_types() == ("RD53A", "RD53B", "ITKPIXV2", "FEI4B")
    assert chip_type("FEI4B") is chip_type("FE-I4B")
    with pytest.raises(KeyError):
        chip_type("RD53C")
