"""What all stories need: a browser, somebody who is signed in, and the way to ask for faults."""

import os
import re
import sys
from contextlib import contextmanager

from playwright.sync_api import expect, sync_playwright

SITE = os.environ["SITE"]
TOKEN = os.environ["TOKEN"]
REPLICAS = os.environ["REPLICAS"].split()

expect.set_options(timeout=20_000)


def ask(what):
    """Asks whoever runs this for something that a browser cannot do."""
    print(what, flush=True)
    assert sys.stdin.readline().strip() == "done", what


@contextmanager
def browser():
    with sync_playwright() as playwright:
        # Root has no sandbox to put it in.
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def person(started, **how):
    """Somebody with a browser window of their own; whatever its pages complain of is a failure."""
    how.setdefault("viewport", {"width": 1280, "height": 900})
    context = started.new_context(base_url=SITE, **how)
    context.set_default_timeout(20_000)
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
    yield page
    context.close()
    assert not complaints, complaints


def sign_in(page, path="/"):
    page.goto(path)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("main h1").first).to_be_attached()
    expect(page.get_by_label("Token")).to_have_count(0)


def live(page):
    expect(page.locator("#live")).to_have_attribute("data-state", "on")


def said(page, text):
    expect(page.locator("#said")).to_contain_text(text)


def run_of(page):
    """The id in the address of a run's page."""
    return re.search(r"/runs/([0-9a-f-]{36})", page.url).group(1)
