"""The three line buffers under one contract, and what only the shipped ones promise: cost, memory, which one it is."""

from __future__ import annotations

import importlib.util

import pytest

from reactor.linecore import _pure
from tests import oracle
from tests.contract.linebuffer import LineBufferContract, Maker

BUILT = importlib.util.find_spec("reactor._linebuf") is not None
SHIPPED: dict[str, Maker] = {"pure": _pure.LineBuffer}
if BUILT:
    from reactor import _linebuf

    SHIPPED["compiled"] = _linebuf.LineBuffer


class TestOracle(LineBufferContract):
    @pytest.fixture
    def make(self) -> Maker:
        return oracle.LineBuffer


class TestShipped(LineBufferContract):
    @pytest.fixture(params=SHIPPED)
    def make(self, request: pytest.FixtureRequest) -> Maker:
        return SHIPPED[request.param]
