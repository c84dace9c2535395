"""Prints what is in deploy/ as one JSON document: {file: [documents]}.

The chart's templates are among it as Helm fills them in, under `helm/NAME/FILE` for each set of values in values.json.
"""

import json
import pathlib
import sys

import helm_python as helm
import yaml

root = pathlib.Path(sys.argv[1])
files = {}
for path in sorted(root.rglob("*.y*ml")):
    name = str(path.relative_to(root))
    if "/templates/" not in name:
        files[name] = list(yaml.safe_load_all(path.read_text()))

chart = root / "helm" / "cronclave"
findings = helm.lint(chart)
# 1 is a hint, 2 a warning, 3 an error.
messages = findings["messages"] if isinstance(findings, dict) else findings
for finding in messages:
    if finding["severity"] > 1:
        sys.exit(f"helm lint: {finding}")
sets = json.load(open(sys.argv[2]))
with helm.Chart.load(chart) as loaded:
    for name, values in sets.items():
        for file, text in loaded.render(values, name="demo", namespace="prod").items():
            if file.endswith(".yaml"):
                documents = [one for one in yaml.safe_load_all(text) if one]
                files[f"helm/{name}/{file.rsplit('/', 1)[1]}"] = documents
            else:
                files[f"helm/{name}/{file.rsplit('/', 1)[1]}"] = [text]
    for wrong in [{"graceSeconds": "30s"}, {"replica": {"count": 3}}, {"workers": {"queues": ["Not A Queue"]}}]:
        try:
            loaded.validate_schema(wrong)
        except helm.HelmError:
            continue
        sys.exit(f"the chart's schema takes {wrong}")
print(json.dumps(files))
