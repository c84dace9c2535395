"""Every page in both themes, wide and narrow, as axe sees it: WCAG 2.2 AA and what is good practice."""

from axe_playwright_python.sync_playwright import Axe

from drive import browser, expect, person, sign_in
from pages import pages

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
axe = Axe()
found = []


def look(page, name, theme, width):
    for violation in axe.run(page, options=RULES).response["violations"]:
        nodes = [node["html"][:160] + " -> " + (node.get("failureSummary") or "")[:200] for node in violation["nodes"][:3]]
        found.append(f"{name} {theme} {width}: {violation['id']}: {violation['help']}\n    " + "\n    ".join(nodes))


with browser() as started:
    for theme in ["light", "dark"]:
        for width in [1440, 360]:
            size = {"width": width, "height": 900}
            with person(started, color_scheme=theme, viewport=size, reduced_motion="reduce") as page:
                page.goto("/")
                look(page, "sign-in", theme, width)
                sign_in(page, "/jobs")
                for name, path in pages(page):
                    page.goto(path)
                    page.wait_for_load_state()
                    look(page, name, theme, width)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    if wide > width:
                        found.append(f"{name} {theme} {width}: it is {wide} wide")
                if width > 1000:
                    page.goto("/jobs")
                    page.get_by_role("link", name="Pause db-backup").click()
                    expect(page.get_by_role("dialog")).to_be_visible()
                    look(page, "dialog", theme, width)
                    page.keyboard.press("Escape")
                    expect(page.get_by_role("dialog")).to_have_count(0)
                    page.keyboard.press("/")
                    page.keyboard.type("back")
                    expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("db-backup")
                    look(page, "palette", theme, width)
assert not found, "\n".join(found)
