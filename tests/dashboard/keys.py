"""Only keys: no mouse."""

from drive import TOKEN, browser, expect, live, person, said

with browser() as started, person(started) as page:
    page.goto("/jobs")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    live(page)

    # The first stop leads past the bar.
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    # Rows, and what can be done with one.
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr[data-at]")).to_have_id("job-hello")
    page.keyboard.press("x")
    expect(page.get_by_label("Choose hello")).to_be_checked()
    page.keyboard.press(".")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type("with keys")
    page.keyboard.press("Enter")
    said(page, "A run of hello was asked for")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("p")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    # The palette.
    page.keyboard.press("/")
    page.keyboard.type("night")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("nightly")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/nightly")
    expect(page.locator("h1")).to_contain_text("nightly")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/cluster")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.wait_for_url("**/explain")
    page.keyboard.type("30 2 * * FRI")
    expect(page.locator("#meaning")).to_contain_text("Friday")
    page.wait_for_url("**/explain?schedule=*")

    # Everything that can be reached shows where it is.
    page.goto("/jobs")
    for _ in range(25):
        page.keyboard.press("Tab")
        ring = page.evaluate("(() => { const style = getComputedStyle(document.activeElement); return [document.activeElement.outerHTML.slice(0, 80), style.outlineStyle, style.outlineWidth]; })()")
        assert ring[1] != "none" and ring[2] != "0px", ring
