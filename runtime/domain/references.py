"""What a `$ref` within a JSON Schema names."""

from collections.abc import Mapping
from urllib.parse import unquote


def resolve(root: Mapping[str, object], reference: str) -> object:
    """What a `$ref` within `root` names by a JSON pointer. Raises `LookupError` if that is nothing,
    or if the reference is no pointer.
    """
    if reference != "#" and not reference.startswith("#/"):
        raise LookupError(reference)
    node: object = root
    for part in unquote(reference).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping):
            node = node[name]
        elif isinstance(node, (list, tuple)) and name.isdecimal():
            node = node[int(name)]
        else:
            raise LookupError(reference)
    return node
