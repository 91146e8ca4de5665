"""The short form of the fault suite, with a seed of its own; `make faults` runs all of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.faults.run import SHORT, SHORT_DAYS, Run, run

SEED = 20261121


@pytest.mark.long
@pytest.mark.stack
@pytest.mark.timeout(2400)
def test_nothing_is_lost_doubled_or_contradicted_whatever_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():  # the lines are what this run is for
        print()
        went_well = run(Run(SEED, names=SHORT, days=SHORT_DAYS), tmp_path / "run", partial(print, flush=True))
    assert went_well, "see the lines above"
