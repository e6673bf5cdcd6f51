# page: marker: the command lines of the block after <!-- check: MARKER --> on a page of the docs. One
# that is not there fails the evaluation, so that no check passes without what the page says.
{ lib }:
page: marker:
let
  parts = lib.splitString "<!-- check: ${marker} -->" (builtins.readFile page);
  block = builtins.match "[[:space:]]*```console\n([^`]*)```.*" (lib.elemAt parts 1);
in
if lib.length parts != 2 || block == null then
  throw "${toString page} has no one block of commands marked ${marker}"
else
  lib.filter (line: line != "") (lib.splitString "\n" (lib.head block))
