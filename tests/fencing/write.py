"""What a job does that writes to three resources, each behind its guard, and says which of them took it.

The first attempt waits to be thawed. The guards are the texts of docs/FENCING.md."""

import os
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request

attempt, fence = os.environ["CRONCLAVE_ATTEMPT"], int(os.environ["CRONCLAVE_FENCING_TOKEN"])
value = "attempt-" + attempt


def text(name):
    with open(name) as file:
        return file.read()


def tell(what, taken):
    with open("told", "a") as file:
        file.write(f"{attempt} {what} {taken}\n")


def check():
    said = subprocess.run([os.environ["PROGRAM"], "fence", "check"], capture_output=True)
    tell("check", said.returncode)


def in_a_table(guard, values, write):
    db = sqlite3.connect("resource.db", timeout=30, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    taken = db.execute(text(guard), values).rowcount
    if taken:
        write(db)
    db.execute("COMMIT" if taken else "ROLLBACK")
    db.close()
    return taken


check()
if attempt == "1":
    with open("pid.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename("pid.new", "pid")
    while not os.path.exists("thaw"):
        time.sleep(0.02)

tell("row", in_a_table("row-guard", {"id": 1, "body": value, "fence": fence}, lambda db: None))
many = "UPDATE many SET body = ?"
tell("table", in_a_table("table-guard", {"resource": "many", "fence": fence}, lambda db: db.execute(many, [value])))
words = ["EVAL", text("redis-guard"), "2", "{report}:body", "{report}:fence", str(fence), value]
tell("redis", subprocess.check_output(["redis-cli", "-p", os.environ["GUARDED_REDIS"]] + words, text=True).strip())
headers = {"Cronclave-Fencing-Token": str(fence)}
put = urllib.request.Request(os.environ["GUARDED_HTTP"], value.encode(), headers, method="PUT")
try:
    tell("http", urllib.request.urlopen(put).status)
except urllib.error.HTTPError as error:
    tell("http", error.code)
if attempt == "1":
    check()
tell("over", 0)
