"""No script runs: links and forms are enough."""

from drive import browser, expect, person, said, sign_in

with browser() as started, person(started, java_script_enabled=False) as page:
    sign_in(page, "/jobs")
    page.get_by_role("link", name="Run hello now").click()
    page.get_by_label("Reason").fill("by hand")
    page.get_by_role("button", name="Run now").click()
    said(page, "A run of hello was asked for")
    page.get_by_role("link", name="Look at it").click()
    for _ in range(40):
        if page.locator("main").get_by_text("succeeded").count():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(page.locator("main")).to_contain_text("by hand")
    expect(page.locator("main")).to_contain_text("hello")

    page.goto("/jobs")
    page.get_by_role("link", name="Pause hello").click()
    page.get_by_label("Reason").fill("a move")
    page.get_by_label("For how long").fill("nonsense")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("main")).to_contain_text("nonsense")
    page.go_back()
    page.get_by_label("Reason").fill("a move")
    page.get_by_label("For how long").fill("2h")
    page.get_by_role("button", name="Pause").click()
    said(page, "Paused hello")
    expect(page.locator("#job-hello")).to_contain_text("a move")
    page.locator("#said").get_by_role("button", name="Undo").click()
    said(page, "Resumed hello")

    # Several at once.
    page.get_by_label("Choose hello").check()
    page.get_by_label("Choose fails").check()
    page.get_by_role("button", name="Run now").first.click()
    said(page, "2 runs asked for")

    # A run that goes on is stopped.
    page.get_by_role("link", name="Run talks now").click()
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("link", name="Look at it").click()
    for _ in range(40):
        if page.get_by_text("line 1 of a long talk").count():
            break
        page.wait_for_timeout(250)
        page.reload()
    page.get_by_role("link", name="Stop").first.click()
    page.get_by_role("button", name="Stop it").click()
    said(page, "told to stop")

    # Zone and theme.
    page.goto("/jobs")
    page.get_by_label("Times in").select_option("utc")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("#job-nightly")).to_contain_text("UTC")
    page.get_by_role("button", name="Change colours to dark").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"

    # Every page can be read.
    for path in ["/", "/jobs", "/runs", "/timeline", "/cluster", "/explain?schedule=30+2+*+*+*&tz=Europe/Berlin",
                 "/jobs/nightly", "/jobs/hello/why?at=2026-01-01", "/jobs/nightly/backfill"]:
        assert page.goto(path).status == 200, path
        expect(page.locator("main h1").first).to_be_attached()
    assert page.goto("/jobs/helo").status == 404
    expect(page.locator("main")).to_contain_text("did you mean `hello`?")
    assert page.goto("/nowhere").status == 404
