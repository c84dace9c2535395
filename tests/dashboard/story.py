"""Signs in, runs, follows, pauses and takes it back, cancels, tries again, releases, and loses what it stands on."""

import re

from drive import ask, browser, expect, live, person, said, sign_in

with browser() as started, person(started) as page, person(started) as other:
    # A wrong token is told, and nothing about the cluster is.
    page.goto("/jobs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "web." not in page.content() and "hello" not in page.content()
    page.get_by_label("Token").fill("not-the-token-at-all")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("no such token")
    sign_in(page, "/jobs")
    assert page.url.endswith("/jobs")
    live(page)

    # Run now, with a reason; the toast leads to the run.
    page.get_by_role("link", name="Run hello now").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("to see it")
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    said(page, "A run of hello was asked for")
    row = page.locator("#job-hello")
    expect(row.locator(".outcome")).to_contain_text("succeeded")
    page.get_by_role("link", name="Look at it").click()
    expect(page.locator("main")).to_contain_text("to see it")
    expect(page.locator("main")).to_contain_text("hello")

    # Pause with a reason, and undo.
    page.goto("/jobs")
    live(page)
    page.get_by_role("link", name="Pause hello").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("the database moves")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    said(page, "Paused hello")
    expect(row).to_contain_text("the database moves")
    page.locator("#said").get_by_role("button", name="Undo").click()
    said(page, "Resumed hello")
    expect(row).not_to_contain_text("the database moves")

    # Somebody else sees it without a reload: what is open and ticked stays as it is.
    sign_in(other, "/jobs")
    live(other)
    other.evaluate("window.same = true")
    other.get_by_label("Choose tick").check()
    page.get_by_role("link", name="Run fails now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    said(page, "fails")
    expect(other.locator("#job-fails .outcome")).to_contain_text("failed")
    assert other.evaluate("window.same") and other.get_by_label("Choose tick").is_checked()

    # Follow a log as it is written, with how far the run says it is; stop it.
    page.get_by_role("link", name="Run talks now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    said(page, "A run of talks")
    page.get_by_role("link", name="Look at it").click()
    expect(page.locator("main")).to_contain_text("line 3 of a long talk")
    page.evaluate("window.same = true")
    expect(page.locator("main")).to_contain_text("line 12 of a long talk")
    expect(page.get_by_role("progressbar").first).to_be_visible()
    assert page.evaluate("window.same")
    run = page.url
    # The other one sees it run, and who holds it.
    other.goto("/cluster")
    expect(other.locator("main")).to_contain_text("run:talks")
    page.get_by_role("link", name="Stop").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
    said(page, "told to stop")
    expect(page.locator("main")).to_contain_text("cancelled")

    # Try it again; then its hold is ended by force.
    page.get_by_role("link", name=re.compile("again", re.I)).first.click()
    page.get_by_role("dialog").get_by_label("Reason").fill("once more")
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    said(page, "A run of talks")
    again = page.get_by_role("link", name="Look at it").get_attribute("href")
    live(other)
    # Not the hold of the run before, which may still be shown.
    lock = other.locator("tr", has_text=again[-12:])
    expect(lock).to_be_visible()
    lock.get_by_role("link", name="Release").click()
    other.get_by_role("dialog").get_by_label("Reason").fill("it hangs")
    other.get_by_role("dialog").get_by_role("button", name="Release").click()
    said(other, "Released")
    page.goto("/runs")
    expect(page.locator("main")).to_contain_text("lost")

    # The replica that answers is killed: the page goes on at another.
    page.goto("/")
    live(page)
    name = page.locator("html").get_attribute("data-replica")
    page.evaluate("window.same = true")
    # The one that holds the live connection may be another; all but one go.
    ask(f"kill {name}")
    expect(page.locator("html")).not_to_have_attribute("data-replica", name, timeout=60_000)
    live(page)
    second = page.locator("html").get_attribute("data-replica")
    assert page.evaluate("window.same"), "it was not loaded again"
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("link", name="Run hello now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    said(page, "A run of hello was asked for")

    # The store goes away: the page says so and shows what was known; it heals by itself.
    ask("freeze redis")
    expect(page.locator("#banners")).to_contain_text("The store does not answer", timeout=60_000)
    expect(page.locator("#job-hello")).to_be_visible()
    ask("thaw redis")
    expect(page.locator("#banners")).not_to_contain_text("The store does not answer", timeout=60_000)

    # The network goes away and comes back.
    page.context.set_offline(True)
    expect(page.locator("#live")).to_have_attribute("data-state", "lost", timeout=60_000)
    page.context.set_offline(False)
    expect(page.locator("#live")).to_have_attribute("data-state", "on", timeout=60_000)

    # Signed out is out.
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
