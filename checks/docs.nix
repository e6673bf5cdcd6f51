# Every option is described, the committed reference is the options' own, every page is in the site,
# no link is broken, and the site needs no network.
{
  pkgs,
  packages,
  self,
}:
pkgs.runCommand "aistack-docs-check" { nativeBuildInputs = [ pkgs.python3 ]; } ''
  if ! diff -u ${../docs/reference/options.md} ${packages.docs.options}; then
    echo "docs/reference/options.md is not of these options: run make options" >&2
    exit 1
  fi
  python3 ${./lib/links.py} ${self}
  python3 ${./lib/site.py} ${packages.docs}
  touch $out
''
