"""A Chromium of the system, driven by playwright; tests without one are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
"""Sizes of windows by name."""

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no browser: chromium or google-chrome is not found"
)


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A headless browser of playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Any, width: str) -> Any:
    """A new page in a window of a size; it waits long, since the machine may be busy."""
    page = browser.new_page(viewport=dict(zip(("width", "height"), WIDTHS[width], strict=True)))
    page.set_default_timeout(120_000)
    return page


def overflow(page: Any) -> int:
    """Pixels by which a page is wider than its window."""
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.evaluate(script))
