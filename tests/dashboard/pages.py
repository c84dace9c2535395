"""The addresses of all pages of a site, found by following its links."""

import re


def pages(page):
    """Name and address of each, with a job and runs that show something."""
    page.goto("/runs?state=failed")
    failed = first_run(page)
    page.goto("/runs?state=succeeded")
    good = first_run(page)
    return [
        ("now", "/"),
        ("jobs", "/jobs"),
        ("jobs-none", "/jobs?q=nothing-is-called-so"),
        ("job", "/jobs/db-backup"),
        ("job-failing", "/jobs/ftp-pull"),
        ("runs", "/runs"),
        ("run", good),
        ("run-failed", failed),
        ("timeline", "/timeline"),
        ("timeline-week", "/timeline?zoom=7d"),
        ("cluster", "/cluster"),
        ("explain", "/explain?schedule=30+2+*+*+MON-FRI&tz=Europe%2FBerlin&from=2027-03-20"),
        ("explain-wrong", "/explain?schedule=30+2+*+13+*"),
        ("explain-empty", "/explain"),
        ("why", "/jobs/db-backup/why?at=2026-11-20T02:30"),
        ("backfill", "/jobs/db-backup/backfill?from=2026-11-20&until=2026-11-25"),
        ("ask-pause", "/jobs/db-backup/pause"),
        ("ask-run", "/jobs/db-backup/run"),
        ("no-such-page", "/nowhere"),
    ]


def first_run(page):
    for link in page.locator("main a[href*='/runs/']").all():
        found = re.match(r"/runs/[0-9a-f-]{36}", link.get_attribute("href") or "")
        if found:
            return found.group(0)
    raise AssertionError("no run is listed")
