"""Rules for the battery's tests."""

from __future__ import annotations

import faulthandler

import pytest

from tests.battery.sizes import FULL


@pytest.fixture(autouse=FULL)
def _fullTrialsTakeLong() -> None:
    """A whole trial may take longer than any other test. Its own mark of pytest-timeout is the bound."""
    faulthandler.cancel_dump_traceback_later()
