"""Keys, and what has the focus after them."""

from collections.abc import Callable

from playwright.sync_api import Page

__all__ = ["presser"]


def presser(focus: str) -> Callable[..., str]:
    """Return a function that presses keys; the script names the focus and says if it is seen."""

    def press(page: Page, *keys: str) -> str:
        """Press keys, and return what has the focus then, which a person must see."""
        for key in keys:
            page.keyboard.press(key)
        name, seen = page.evaluate(focus)
        assert seen, name
        return str(name)

    return press
