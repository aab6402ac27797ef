"""What a browser sees at the address that `serve` prints. The API has no pages of its own."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Seedwright API</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto }}
pre {{ padding: .8rem 1rem; background: #8881; overflow-x: auto }}
:root {{ color-scheme: light dark }}
</style>
<h1>Seedwright API</h1>
<p>This is the API of <code>seedwright serve</code> on this machine: it makes synthetic datasets
from templates and seeds. It is for programs and for the command <code>seedwright</code>; there is
nothing to click here.</p>
<h2>With the command</h2>
<pre>seedwright login --local
seedwright submit template.yaml --seeds seeds.csv -n 10 --watch
seedwright jobs</pre>
<h2>With a program</h2>
<p>Every request carries the token, which is in the file that <code>serve</code> named:</p>
<pre>curl -H "Authorization: Bearer $(cat TOKEN_FILE)" {url}/jobs</pre>
<h2>More</h2>
<ul>
<li><a href="/openapi.json">/openapi.json</a>: every operation, field and answer (OpenAPI 3.1)</li>
<li><a href="/health">/health</a>: whether the API answers</li>
<li><code>docs/api.md</code> for programs, <code>docs/cli.md</code> for the command:
<code>seedwright --help</code> and <code>seedwright COMMAND --help</code> say the same in short</li>
</ul>
</html>
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Something to read without a token. `for_browsers`: only where a client asks for HTML."""

    content_type: str
    body: Callable[[], bytes]
    for_browsers: bool = False

    @property
    def policy(self) -> str:
        """What a browser may do with it: apply its own style, and nothing else."""
        return "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def pages_of(url: str, openapi: Callable[[], bytes]) -> Mapping[str, Page]:
    """The pages of the API at `url`, by path. `openapi` gives its document."""
    welcome = _PAGE.format(url=html.escape(url)).encode()
    return {
        "/": Page(content_type="text/html; charset=utf-8", body=lambda: welcome, for_browsers=True),
        "/openapi.json": Page(content_type="application/json", body=openapi),
    }
