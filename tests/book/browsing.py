"""Visiting built pages in a browser."""

from __future__ import annotations

from pathlib import Path

# Installed by `make setup` where npm is.
AXE = Path(__file__).parents[1] / "npm" / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def visit(browser, address, *, size="desktop", dark=False, script=True):
    """Open a page; return it with the requests and messages it made."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        has_touch=size == "phone",
        java_script_enabled=script,
    )
    context.set_default_timeout(90_000)  # a machine may be busy
    page = context.new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on(
        "console",
        lambda message: messages.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("requestfailed", lambda request: messages.append(f"failed: {request.url}"))
    page.goto(address, wait_until="load")
    if not script:
        return page, requests, messages
    page.wait_for_function("document.readyState === 'complete'")
    if page.evaluate("typeof MathJax !== 'undefined'"):
        page.wait_for_function("MathJax.startup && MathJax.startup.promise")
        page.evaluate("MathJax.startup.promise")
    page.wait_for_timeout(150)
    return page, requests, messages


def violations(page, within: str | None = None) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA on a page, or in one part of it."""
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        """async within => (await axe.run(within ?? document, {runOnly: {type: "tag",
            values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}})).violations
            .map(v => v.id + ": " + v.nodes.map(n => n.target.join(" ")).slice(0, 4).join("; "))""",
        within,
    )
    return list(found)
