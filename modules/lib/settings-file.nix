# name: settings: a settings file that `aistack config check` has read.
#
# What it refuses fails the build, so that a broken setting never reaches a switch.
{
  lib,
  pkgs,
  cfg,
}:
name: settings:
let
  written = (pkgs.formats.toml { }).generate name settings;
  runs = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
in
if runs then
  pkgs.runCommand name { } ''
    ${lib.getExe cfg.package} config check ${written}
    cp ${written} $out
  ''
else
  written
