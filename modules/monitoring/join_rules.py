"""Joins rule files into one, as JSON: the build checks one file, and cannot know the others' names."""

import json
import sys
from pathlib import Path

import yaml

groups = [
    group
    for path in sorted(Path(sys.argv[1]).glob("*.yaml"))
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
]
json.dump({"groups": groups}, sys.stdout, indent=1)
