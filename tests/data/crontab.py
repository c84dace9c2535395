"""When the entries of crontab.txt start, by two programs that are not ours: writes crontab.jsonl.

    python3 -m venv V && V/bin/pip install croniter==7.0.0 cronsim==2.8 && V/bin/python tests/data/crontab.py

Made on 2026-11-22. Both are asked about the fields as they stand in the crontab, with the rule of Vixie's cron for
`*/2` beside a weekday; where one cannot answer (macros, in cronsim) they are written as fields, as cron's manual says.
Nothing is written unless both agree; what both refuse has no line.
"""
import json
import pathlib
import re
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

HERE = pathlib.Path(__file__).parent
START = datetime(2026, 11, 22, tzinfo=timezone.utc)
# Where times are meant until CRON_TZ says: what the test gives as --timezone.
DEFAULT = "Europe/Berlin"
MACROS = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *",
}


def utc(times):
    return [at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for at in times]


def five(source):
    return utc(next(source) for _ in range(5))


zone = DEFAULT
with open(HERE / "crontab.jsonl", "w") as out:
    for number, line in enumerate((HERE / "crontab.txt").read_text().split("\n"), 1):
        line = line.strip()
        setting = re.match(r"(\w+)\s*=\s*['\"]?([^'\"]*)", line)
        if setting and setting[1] == "CRON_TZ":
            zone = setting[2] or DEFAULT
        if not line or line.startswith("#") or setting:
            continue
        line = line.removeprefix("-")
        words = line.split()
        fields = MACROS.get(words[0], " ".join(words[:5]))
        start = START.astimezone(ZoneInfo(zone))
        try:
            first = five(CronSim(fields, start))
            second = five(croniter(fields, start, ret_type=datetime, implement_cron_bug=True))
        except Exception as why:
            print(f"{number}: {line}: {why}")
            continue
        if first != second:
            print(f"{number}: {line}: they differ:\n  cronsim  {first}\n  croniter {second}")
            continue
        out.write(json.dumps({"line": number, "fields": fields, "timezone": zone, "next": first}) + "\n")
