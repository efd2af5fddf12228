"""Every function of the library on tiny random models of the families that transformers knows; the committed table."""

from pathlib import Path

import pytest
import torch
from families import CHECKS, FAMILIES, report

TABLE = Path(__file__).parents[1] / "docs" / "families.md"
REFUSED = {"bert", "deepseek_v4", "hrm_text"}


def rows() -> dict[str, list[str]]:
    """The table's rows by family: blocks, what holds, what is given up."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")][1:]
    cells = [line.strip("|").split("|") for line in lines]
    return {name.strip(): [c.strip() for c in rest] for name, *rest in cells}


def test_the_table_holds_every_family():
    assert list(rows()) == list(FAMILIES)
    assert len({f.kind for f in FAMILIES.values()}) >= 90 and len(FAMILIES.keys() - REFUSED) >= 70


def test_the_table_tells_what_holds():
    """Nothing fails silently: a family is refused, or all holds."""
    for name, (_, holds, notes) in rows().items():
        assert holds == ("refused" if name in REFUSED else "all"), name
        assert notes if name in REFUSED else True


@pytest.fixture
def one_thread():
    """On models this small a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_function_holds_or_the_family_is_refused(name, one_thread):
    found = report(name)
    assert not found.failed and bool(found.refused) == (name in REFUSED)
    assert found.row().startswith(f"| {name} |") and len(CHECKS) == 9
    assert [c.strip() for c in found.row().strip("|").split("|")][1:] == rows()[name]
