"""What `{% include %}` means in the API: a template of the author's own, or a public one.

When a template is saved, each name is looked up once: as an id where it is a UUID, else among the
author's own templates, then among what the version before (or the template that an included one
came from) meant by it, and then among the public ones. A name that several templates have is
refused: only an id says which is meant. What is found is pinned, by id: another user's template at
that very version, one's own at whatever is its latest version. So what others publish, change or
rename later neither changes nor breaks a template. What another user keeps private is not found.

Templates that were stored before there were pins are looked up by name when they are used; of
several public templates they mean the oldest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from runtime.domain.errors import TemplateError, TemplateNotFoundError
from runtime.domain.identifiers import is_uuid
from runtime.domain.pages import Page
from runtime.domain.service_ports import ApiPorts
from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.document import resolve_includes
from runtime.domain.templates.template import Pin, Template, TemplateRef
from runtime.service.access import find_version

MAX_SEARCHED: Final = 1000
"""Templates that are looked through for a name; an id needs no search."""

_PAGE: Final = 100

Found = tuple[TemplateHead, TemplateRef]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedTemplate:
    """A template with the source of everything it includes, and which versions that came from."""

    template: Template
    includes: Mapping[str, TemplateRef]
    pins: Mapping[str, Pin]
    """What the names stand for from now on, if the template is saved."""


def resolve(ports: ApiPorts, caller: str, template: Template) -> ResolvedTemplate:
    """The source of what a stored template includes, as its pins say.

    Raises `TemplateNotFoundError` that names the include, `TemplateError`.
    """
    return _Resolution(ports=ports, caller=caller, pins=template.pins).of(template)


def resolve_new(
    ports: ApiPorts,
    caller: str,
    template: Template,
    *,
    template_id: str | None = None,
    before: Mapping[str, Pin] | None = None,
) -> ResolvedTemplate:
    """Look up what a template includes that is going to be saved. `template_id` is the one that it
    is going to be the latest version of: an include of that is itself. `before` are the pins of
    the version that it follows: a name goes on to mean that template, at its latest version. Pins
    that `template` has already are kept where they lead somewhere.

    Raises as `resolve`.
    """
    inherited = {name: replace(pin, version=None) for name, pin in (before or {}).items()}
    resolution = _Resolution(
        ports=ports, caller=caller, inherited=inherited, new=True, itself=template_id
    )
    kept = {name: pin for name, pin in template.pins.items() if resolution.find_pinned(pin)}
    resolution.pins = kept
    return resolution.of(template)


@dataclass(kw_only=True, slots=True)
class _Resolution:
    """One template's names on their way to sources. `inherited` are pins of the version before and
    of included templates.
    """

    ports: ApiPorts
    caller: str
    pins: Mapping[str, Pin] = field(default_factory=dict)
    inherited: dict[str, Pin] = field(default_factory=dict)
    new: bool = False
    itself: str | None = None
    refs: dict[str, TemplateRef] = field(default_factory=dict)
    found: dict[str, Pin] = field(default_factory=dict)

    def of(self, template: Template) -> ResolvedTemplate:
        def load(name: str) -> str:
            return self._source(name, template)

        resolved = resolve_includes(template, load)
        return ResolvedTemplate(template=resolved, includes=self.refs, pins=self.found)

    def find_pinned(self, pin: Pin) -> Found | None:
        """What a pin leads to, None if it was deleted or made private."""
        try:
            return find_version(self.ports, self.caller, pin.template_id, pin.version)
        except TemplateNotFoundError:
            return None

    def _source(self, name: str, template: Template) -> str:
        head, ref = self._find(name)
        itself = ref.template_id == self.itself
        included = template if itself else self.ports.templates.load_template(ref)
        if len(included.steps) != 1:
            raise TemplateError(
                f'include "{name}": a template that is included has exactly one step,'
                f" this one has {len(included.steps)}"
            )
        for inner, pin in included.pins.items():
            self.inherited.setdefault(inner, pin)
        own = head.user_id == self.caller
        self.refs[name] = ref
        self.found[name] = Pin(template_id=ref.template_id, version=None if own else ref.version)
        return included.steps[0].prompt

    def _find(self, name: str) -> Found:
        pin = self.pins.get(name)
        if pin is not None:
            found = self.find_pinned(pin)
            if found is None:
                raise TemplateNotFoundError(
                    f'include "{name}": the template that it stands for is gone, or not public any'
                    " more: include another one, and save the template again"
                )
            return found
        if is_uuid(name):
            return find_version(self.ports, self.caller, name.lower(), None)
        return self._named(name)

    def _named(self, name: str) -> Found:
        catalog = self.ports.template_catalog

        def own(after: str | None) -> Page[TemplateHead]:
            return catalog.list_own(self.caller, limit=_PAGE, after=after)

        def public(after: str | None) -> Page[TemplateHead]:
            return catalog.list_public(limit=_PAGE, after=after)

        inherited = self.inherited.get(name)
        before = None if inherited is None else self.find_pinned(inherited)
        owned = _search(name, own)
        if before is not None and (not owned or before[0] in owned):
            return before
        if owned:
            return _only(name, owned, "of yours")
        shared = _search(name, public)
        if not shared:
            raise TemplateNotFoundError(
                f'include "{name}": no template of yours and no public one has this name'
            )
        if not self.new:
            shared = [min(shared, key=lambda head: (head.created_at, head.template_id))]
        return _only(name, shared, "of the public ones")


def _only(name: str, heads: list[TemplateHead], whose: str) -> Found:
    if len(heads) > 1:
        raise TemplateError(
            f'include "{name}": {len(heads)} templates {whose} have this name: include one of'
            " them by its id"
        )
    return heads[0], heads[0].latest


def _search(name: str, pages: Callable[[str | None], Page[TemplateHead]]) -> list[TemplateHead]:
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
