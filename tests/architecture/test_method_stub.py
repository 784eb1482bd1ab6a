"""The stub that type checkers read says what the table of operators says."""

from __future__ import annotations

import method_stub


def test_stub_is_current():
    written = method_stub.STUB.read_text(encoding="utf-8").splitlines()
    expected = method_stub.stub_text().splitlines()
    assert sorted(set(expected) ^ set(written)) == [], "run python tests/method_stub.py"
