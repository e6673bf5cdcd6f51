"""Writes what a system is made of as a CycloneDX document, and checks it by the format's own schema.

    write_sbom.py CLOSURE KNOWN NAME VERSION > DOCUMENT

CLOSURE is a folder of `pkgs.closureInfo`. KNOWN is a JSON list of what Nix tells of the packages in it
(path, pname, version, license, description, homepage, cpe, python), as far as it was asked: of all other
paths the document has what their names say.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.spdx import is_supported_id
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

FORMAT = SchemaVersion.V1_6
NAME = re.compile(r"/nix/store/[a-z0-9]{32}-(?P<name>.+?)(?:-(?P<version>\d.*?)(?:-[a-z]+)?)?$")
"""As Nix divides it: the version begins with the first digit after a dash; an output's name ends it."""


def closure(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Path -> hash of its contents, and the paths that it refers to."""
    found = {path: ("", []) for path in (folder / "store-paths").read_text().split()}
    lines = iter((folder / "registration").read_text().splitlines())
    for path in lines:
        digest, _size, _deriver = next(lines), next(lines), next(lines)
        found[path] = (digest, sorted(next(lines) for _ in range(int(next(lines)))))
    return found


def license_of(name: str) -> DisjunctiveLicense:
    """By its SPDX identifier, where that is one."""
    return DisjunctiveLicense(id=name) if is_supported_id(name) else DisjunctiveLicense(name=name)


def component(path: str, digest: str, known: dict[str, Any]) -> Component:
    """What is told of one path."""
    named = NAME.fullmatch(path)
    if named is None:
        sys.exit(f"{path} is not a path of the store")
    name, version = known.get("pname") or named["name"], known.get("version") or named["version"]
    python = known.get("python", False)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY if python else ComponentType.APPLICATION,
        bom_ref=path,
        description=known.get("description"),
        licenses=[license_of(one) for one in known.get("license", [])],
        purl=PackageURL(
            "pypi" if python else "nix", None, name.lower() if python else name, version
        ),
        cpe=known.get("cpe"),
        external_references=[
            ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(url))
            for url in [known.get("homepage")]
            if url
        ],
        properties=[
            Property(name="nix:path", value=path),
            *([Property(name="nix:narHash", value=digest)] if digest else []),
        ],
    )


def document(
    paths: dict[str, tuple[str, list[str]]], known: dict[str, dict[str, Any]], root: Component
) -> Bom:
    """The document: equal closures give equal ones."""
    bom = Bom(
        metadata=BomMetaData(component=root),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(sorted(paths))),
    )
    components = {
        path: component(path, digest, known.get(path, {}))
        for path, (digest, _) in sorted(paths.items())
    }
    bom.components.update(components.values())
    bom.register_dependency(root, components.values())
    for path, (_, refers) in sorted(paths.items()):
        bom.register_dependency(components[path], (components[to] for to in refers if to != path))
    return bom


def text(bom: Bom) -> str:
    """As JSON, without the time at which it was made."""
    written = json.loads(make_outputter(bom, OutputFormat.JSON, FORMAT).output_as_string())
    written["metadata"].pop("timestamp", None)
    return json.dumps(written, indent=1, sort_keys=True) + "\n"


def faults(document: str) -> Iterator[str]:
    """What the schema of the format says against it."""
    for fault in JsonStrictValidator(FORMAT).validate_str(document, all_errors=True) or ():
        yield str(fault)


def main() -> None:
    """Write the document."""
    folder, packages, name, version = sys.argv[1:]
    known = {package["path"]: package for package in json.loads(Path(packages).read_text())}
    root = Component(name=name, version=version, type=ComponentType.APPLICATION, bom_ref="root")
    paths = closure(Path(folder))
    written = text(document(paths, known, root))
    if wrong := list(faults(written)):
        sys.exit("\n".join(wrong))
    print(written, end="")
    told = sum(path in known for path in paths)
    print(f"{name}: {len(paths)} paths, {told} of them described", file=sys.stderr)


main()
