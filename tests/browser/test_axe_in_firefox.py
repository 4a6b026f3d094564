"""An element, a list and a toast before axe-core in Firefox, in light and in dark."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

from .moody_server import MoodyServer
from .test_keyboard_and_sizes import ALL
from .test_list_states import FILL

ShowIn = Callable[..., AbstractContextManager[None]]

LOOK = """
while (!list.shadowRoot.querySelector(".row") || !document.querySelector("[state=running]"))
  await new Promise(requestAnimationFrame);
const { shadowRoot: toasts } = document.querySelector("body > [role=status]");
await Promise.all(toasts.getAnimations().map(({ finished }) => finished));
const results = {};
for (const scheme of ["light", "dark"]) {
  document.documentElement.style.colorScheme = scheme;
  const { violations, passes } = await axe.run(document, { resultTypes: ["violations"] });
  const found = violations.flatMap(({ id, nodes }) => nodes.map(
    ({ target, failureSummary }) => `${id}: ${target.flat().join(" ")}: ${failureSummary}`));
  results[scheme] = { passes: passes.length, found };
}
fetch("/told", { method: "POST", body: JSON.stringify(results) });
"""


def test_all_holds_axes_rules_in_firefox(
    server: MoodyServer, show_in: ShowIn, axe_rules: str
) -> None:
    server.pages["/axe.js"] = axe_rules
    server.pages["/page.js"] = f"{ALL}\n({FILL})([7, false]);\n{LOOK}"
    server.pages["/"] = """<!doctype html><html lang="en"><title>All</title>
      <style>body { background: light-dark(#f5f6fa, #11131a); color: CanvasText }</style>
      <main><h1>All</h1>
        <job-progress src="/jobs/it/stream" label="holiday.mov" cancellable></job-progress>
        <job-list label="Transcodings" cancellable></job-list></main>
      <script src="/axe.js"></script><script type="module" src="/page.js"></script>"""
    server.publish("progress", stage="reading", progress=41, message="row 7", eta=171)
    with show_in("firefox", server.url):
        [told] = server.wait_for("told", 1, 60)
    results = json.loads(told.body)
    for scheme in "light", "dark":
        assert results[scheme]["found"] == []
        assert results[scheme]["passes"] > 5
