"""`gb.check`: one stable line, or an error."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan_book.claims import check
from gan_book.errors import GanBookError


@pytest.mark.parametrize(
    "condition", [True, np.bool_(True), torch.tensor(True), np.array(True), torch.ones(2).all()]
)
def test_what_holds_is_printed(capsys, condition):
    check("2.3-07", condition, "the penalty is quadratic")
    assert capsys.readouterr().out == "2.3-07 holds: the penalty is quadratic\n"


@pytest.mark.parametrize("condition", [False, np.bool_(False), torch.tensor(False)])
def test_what_does_not_hold_raises_and_says_what(capsys, condition):
    with pytest.raises(AssertionError, match="2.3-07 does not hold: the penalty is quadratic"):
        check("2.3-07", condition, "the penalty is quadratic")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "condition",
    ["False", "", 1, 0, 0.5, None, [True], (), torch.tensor([True, True]), torch.tensor(1.0),
     np.array([True]), np.float64(1.0), lambda: False],
)  # fmt: skip
def test_what_is_no_truth_value_is_refused(condition):
    """A text, a number or a function that somebody forgot to compare would always hold."""
    with pytest.raises(GanBookError, match="condition of claim 2.3-07"):
        check("2.3-07", condition, "something")


@pytest.mark.parametrize("id", ["2.3-07", "4-01", "10.12-99", "A-01"])
def test_ids(id):
    check(id, True, "x")


@pytest.mark.parametrize("id", ["2.3-7", "2.3", "", "2.3-07 ", "a-01", None, 2.3])
def test_malformed_ids_are_refused(id):
    with pytest.raises(GanBookError, match="looks like 2.3-07"):
        check(id, True, "x")


@pytest.mark.parametrize("claim", ["", " ", "two\nlines", None])
def test_malformed_claims_are_refused(claim):
    with pytest.raises(GanBookError, match="one line"):
        check("2.3-07", True, claim)


def test_a_check_is_no_assert():
    """It must survive `python -O`."""
    import subprocess
    import sys

    code = "from gan_book.claims import check; check('2.3-07', False, 'x')"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "2.3-07 does not hold" in done.stderr
