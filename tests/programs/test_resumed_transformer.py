"""Training that is killed and started again has the losses of training that was left alone.

A few kills here; `python tests/resume_check.py --kills 50` makes many.
"""

from __future__ import annotations

from pathlib import Path

import resume_check


def test_killed_and_resumed_training_has_the_same_losses(tmp_path: Path):
    counts = resume_check.check(tmp_path, kills=3, steps=14)
    assert counts.good, str(counts)
    assert counts.kills == 3
