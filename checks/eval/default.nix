# What needs no machine: the module changes nothing while it is off, each assertion fires with its
# option's name, and each unit is ordered as it must be. A file a concern.
{
  lib,
  pkgs,
  self,
}:
let
  hosts = import ./hosts.nix { inherit lib pkgs self; };
  results = lib.concatMap (file: lib.runTests (import file hosts)) [
    ./backups.nix
    ./defaults.nix
    ./garbage-collection.nix
    ./instances.nix
    ./issues.nix
    ./monitoring
    ./sandbox.nix
    ./secrets.nix
    ./settings.nix
    ./stores.nix
    ./tls.nix
  ];
in
if results == [ ] then
  pkgs.runCommand "aistack-eval" { } "touch $out"
else
  throw (
    "evaluation checks failed:\n"
    + lib.concatMapStringsSep "\n" (
      r: "  ${r.name}: expected ${builtins.toJSON r.expected}, got ${builtins.toJSON r.result}"
    ) results
  )
