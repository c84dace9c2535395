"""Names, logs and errors that try to be more than text."""

from drive import browser, expect, person, said, sign_in

with browser() as started:
    for width in [1280, 360]:
        with person(started, viewport={"width": width, "height": 900}) as page:
            page.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError(dialog.message)))
            sign_in(page, "/jobs")
            page.get_by_role("link", name="Run hostile now").click()
            page.get_by_role("dialog").get_by_label("Reason").fill("<script>document.title='caught'</script> \u202egnihton 🦀" + "y" * 500)
            page.get_by_role("dialog").get_by_role("button", name="Run now").click()
            said(page, "A run of hostile")
            page.get_by_role("link", name="Look at it").click()
            expect(page.locator("main")).to_contain_text("failed")
            expect(page.locator("main")).to_contain_text("<b>end</b>")
            expect(page.locator("main")).to_contain_text("<script>document.title")
            run = page.url
            for path in [run, "/", "/jobs", "/jobs/hostile", "/runs", "/runs?job=hostile", "/timeline", "/cluster",
                         "/jobs?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/jobs?tag=%3Ci%3Etag%3C%2Fi%3E",
                         "/explain?schedule=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
                         "/jobs/%3Cscript%3E", "/runs/%3Cscript%3E", "/jobs/hostile/why?at=%3Cscript%3E"]:
                page.goto(path)
                page.wait_for_timeout(150)
                assert page.title() != "caught" and page.title() != "1", path
                inside = page.evaluate("document.querySelectorAll('main script, main img, main b, main i').length")
                assert inside == 0, (path, inside)
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{path} is {wide} wide at {width}"
                assert "\x1b" not in page.locator("main").inner_text(), path
