"""What `{% include %}` means in the API: a template of the caller's own, or a public one.

A name is looked up as an id where it is a UUID, else among the caller's own templates and then
among the public ones. A name that several templates have is refused: only an id says which is
meant. What another user keeps private is not found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from runtime.domain.errors import TemplateError, TemplateNotFoundError
from runtime.domain.identifiers import is_uuid
from runtime.domain.service_ports import ApiPorts, Page, TemplateHead
from runtime.domain.templates.document import resolve_includes
from runtime.domain.templates.template import Template, TemplateRef
from runtime.service.access import find_template

MAX_SEARCHED: Final = 1000
"""Templates that are looked through for a name; an id needs no search."""

_PAGE: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedTemplate:
    """A template with the source of everything it includes, and which versions that came from."""

    template: Template
    includes: Mapping[str, TemplateRef]


def resolve(
    ports: ApiPorts, caller: str, template: Template, *, template_id: str | None = None
) -> ResolvedTemplate:
    """Resolve and pin what `template` includes, at the latest versions. `template_id` is the one
    that `template` is going to be the latest version of: an include of that is itself.

    Raises `TemplateNotFoundError` that names the include, `TemplateError`.
    """
    includes: dict[str, TemplateRef] = {}

    def load(name: str) -> str:
        ref = _find(ports, caller, name).latest
        itself = ref.template_id == template_id
        included = template if itself else ports.templates.load_template(ref)
        if len(included.steps) != 1:
            raise TemplateError(
                f'include "{name}": a template that is included has exactly one step,'
                f" this one has {len(included.steps)}"
            )
        includes[name] = ref
        return included.steps[0].prompt

    return ResolvedTemplate(template=resolve_includes(template, load), includes=includes)


def _find(ports: ApiPorts, caller: str, name: str) -> TemplateHead:
    if is_uuid(name):
        return find_template(ports, caller, name.lower())
    catalog = ports.template_catalog

    def own(after: str | None) -> Page[TemplateHead]:
        return catalog.list_own(caller, limit=_PAGE, after=after)

    def public(after: str | None) -> Page[TemplateHead]:
        return catalog.list_public(limit=_PAGE, after=after)

    for whose, pages in (("of yours", own), ("of the public ones", public)):
        found = _named(name, pages)
        if len(found) > 1:
            raise TemplateError(
                f'include "{name}": {len(found)} templates {whose} have this name: include one of'
                " them by its id"
            )
        if found:
            return found[0]
    raise TemplateNotFoundError(
        f'include "{name}": no template of yours and no public one has this name'
    )


def _named(name: str, pages: Callable[[str | None], Page[TemplateHead]]) -> list[TemplateHead]:
    found: list[TemplateHead] = []
    searched, after = 0, None
    while searched < MAX_SEARCHED:
        page = pages(after)
        found += [head for head in page.items if head.name == name]
        searched += len(page.items)
        after = page.next
        if after is None:
            return found
    raise TemplateError(
        f'include "{name}": there are too many templates to search them by name: include it by its'
        " id"
    )
