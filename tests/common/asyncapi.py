"""Reads an AsyncAPI document; prints it as JSON, or what is wrong with messages given as JSON on lines.
A message's name may end in `/headers`: then those are looked at, not its payload."""

import json
import sys

import jsonschema
import yaml

document = yaml.safe_load(open(sys.argv[1]))
if len(sys.argv) == 2:
    json.dump(document, sys.stdout)
    sys.exit()

named = {message["name"]: id for id, message in document["components"]["messages"].items()}
for line in open(sys.argv[2]):
    case = json.loads(line)
    name, _, part = case["name"].partition("/")
    place = f"#/components/messages/{named[name]}/{part or 'payload'}"
    schema = {"$ref": place, "components": document["components"]}
    jsonschema.Draft7Validator.check_schema(document["components"]["schemas"])
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(case["body"]))
    where = "/".join(str(part) for part in error.absolute_path) if error else ""
    print(json.dumps(f"{where}: {error.message}" if error else None))
