"""The templates as they were reviewed. After a wanted change:
`.venv/bin/python -m pytest tests/infra --snapshot-update`, and read the diff.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.fixtures.role_policies import STACKS
from tests.infra.conftest import Synthesized

_HASH: Final = re.compile(r"[0-9a-f]{64}")


def masked(value: Any) -> Any:
    """Without the hashes of assets, which every change of the runtime changes."""
    if isinstance(value, dict):
        return {key: masked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [masked(each) for each in value]
    return _HASH.sub("HASH", value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("stage", "stack"), [pytest.param(s, t, id=f"{s}-{t}") for s in ("dev", "prod") for t in STACKS]
)
def test_template(
    synthesized: Mapping[str, Synthesized], stage: str, stack: str, snapshot: SnapshotAssertion
) -> None:
    template = masked(synthesized[stage].templates[stack])

    assert template == snapshot(extension_class=JSONSnapshotExtension)
