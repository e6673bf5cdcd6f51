# Every option is described, the committed reference is the options' own, and no link is broken.
{ pkgs, packages }:
pkgs.runCommand "aistack-docs-check" { nativeBuildInputs = [ pkgs.python3 ]; } ''
  if ! diff -u ${../docs/reference/options.md} ${packages.docs}/reference/options.md; then
    echo "docs/reference/options.md is not of these options: run make options" >&2
    exit 1
  fi
  python3 ${./lib/links.py} ${../README.md} ${../docs}
  touch $out
''
