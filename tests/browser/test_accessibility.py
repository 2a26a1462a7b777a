"""The pages as axe-core judges them: names for what listens, contrast for what looks, order for what steps through."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

NODE_PACKAGES = Path(__file__).parents[2] / "openapi/sdk/node_modules"
AXE = NODE_PACKAGES / "axe-core/axe.min.js"

pytestmark = pytest.mark.skipif(not AXE.exists(), reason="the node packages are missing: run make node")

LOOKS: dict[str, dict[str, Any]] = {
    "desktop, light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "phone, dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}


def violations(page: Page) -> list[str]:
    """What axe finds, each with the elements."""
    page.evaluate(f"{AXE.read_text(encoding='utf-8')}; 0")
    found = page.evaluate("axe.run(document).then(({ violations }) => violations)")
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found]


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_on_the_pages_keeps_anybody_out(api, open_tab, look):
    tab = open_tab(reduced_motion="reduce", **LOOKS[look])
    assert violations(tab.page) == []
    tab.send("/approve /rate 500 Tidy")
    tab.page.wait_for_selector(".approval input")
    tab.send("/length 20 /rate 500 /error And then this")
    tab.page.wait_for_selector(".waiting")
    if look.startswith("desktop"):
        tab.page.locator(".frame").nth(5).click()
        tab.page.get_by_role("button", name="curl").click()
        tab.page.wait_for_selector("#snippet")
    assert violations(tab.page) == []
    tab.page.get_by_role("button", name="Allow").click()
    tab.has_checked(2)
    assert violations(tab.page) == []
    tab.page.goto(f"{api.base}/runs")
    tab.page.wait_for_selector("tbody tr")
    assert violations(tab.page) == []
