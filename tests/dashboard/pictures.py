"""A picture of every page in both themes, narrow and wide."""

import os

from drive import browser, live, person, sign_in
from pages import pages

OUT = os.environ["OUT"]
with browser() as started:
    for theme in ["light", "dark"]:
        for width, height in [(1440, 900), (360, 780)]:
            size = {"width": width, "height": height}
            with person(started, color_scheme=theme, viewport=size, timezone_id="Europe/Berlin") as page:
                page.goto("/")
                page.screenshot(path=f"{OUT}/sign-in-{theme}-{width}.png")
                sign_in(page, "/jobs")
                for name, path in pages(page):
                    page.goto(path)
                    page.wait_for_timeout(700)
                    page.screenshot(path=f"{OUT}/{name}-{theme}-{width}.png", full_page=True)
                page.goto("/")
                live(page)
                page.screenshot(path=f"{OUT}/first-{theme}-{width}.png")
