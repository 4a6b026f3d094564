"""The demo in Firefox: axe-core's rules, while a clip is made, in light and in dark."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from .conftest import Serve

ShowIn = Callable[..., AbstractContextManager[None]]

# After axe-core's own text.
LOOK = """
(async () => {
  const until = async (selector) => {
    while (!document.querySelector(selector)) await new Promise((done) => setTimeout(done, 100));
  };
  await fetch("/api/test-clips?ladder=360", { method: "POST" });
  await fetch("/api/videos?name=notes.mp4&ladder=360", { method: "POST", body: "no film" });
  await until("job-progress[state=running]");
  const results = {};
  for (const scheme of ["light", "dark"]) {
    document.documentElement.style.colorScheme = scheme;
    await Promise.all(document.getAnimations().filter(({ effect }) =>
      effect.getComputedTiming().endTime < Infinity).map(({ finished }) => finished));
    const { violations, passes } = await axe.run(document, { resultTypes: ["violations"] });
    const found = violations.flatMap(({ id, nodes }) => nodes.map(
      ({ target, failureSummary }) => `${id}: ${target.flat().join(" ")}: ${failureSummary}`));
    results[scheme] = { passes: passes.length, found };
  }
  await fetch("/told", { method: "POST", body: JSON.stringify(results) });
})();
"""


def test_the_demo_holds_axes_rules_in_firefox(
    serve: Serve, show_in: ShowIn, eventually: Callable[..., None], axe_rules: str
) -> None:
    told: list[dict[str, Any]] = []

    async def page(request: Request) -> Response:
        text = files("sseprog").joinpath("demo/page/index.html").read_text()
        text = text.replace("</body>", '<script src="/axe.js"></script></body>')
        return HTMLResponse(text)

    async def script(request: Request) -> Response:
        return Response(axe_rules + LOOK, media_type="text/javascript")

    async def tell(request: Request) -> Response:
        told.append(json.loads(await request.body()))
        return Response(status_code=204)

    def around(app: Any) -> Any:
        return Starlette(
            routes=[
                Route("/looked-at.html", page),
                Route("/axe.js", script),
                Route("/told", tell, methods=["POST"]),
                Mount("/", app),
            ]
        )

    server = serve(around=around)
    with show_in("firefox", f"{server.url}looked-at.html"):
        eventually(lambda: told, 60)
    [results] = told
    for scheme in "light", "dark":
        assert results[scheme]["found"] == []
        assert results[scheme]["passes"] > 5
