# Every script that the modules generate passes shellcheck, and nothing of ours names a path that
# NixOS lacks.
{
  config,
  lib,
  pkgs,
}:
let
  units = lib.filterAttrs (name: _: lib.hasPrefix "aistack" name) config.systemd.units;
  command = lib.findFirst (
    p: p.name == "aistack"
  ) (throw "no command") config.environment.systemPackages;
in
pkgs.runCommand "aistack-scripts" { nativeBuildInputs = [ pkgs.shellcheck ]; } ''
  files=(${
    lib.concatMapStringsSep " " (unit: pkgs.writeText "unit" unit.text) (lib.attrValues units)
  } ${command}/bin/aistack)

  # Scripts that the units call, as far as they are shell.
  mapfile -t called < <(grep -ohE '/nix/store/[^ ;"]+' "''${files[@]}" | sort -u)
  scripts=()
  for file in ${command}/bin/aistack "''${called[@]}"; do
    if [[ -f $file ]] && head -n 1 "$file" | grep -qaE '^#!.*/(ba)?sh'; then
      scripts+=("$file")
    fi
  done
  echo "''${#files[@]} units and commands, ''${#scripts[@]} scripts"
  ((''${#scripts[@]} >= 3))

  shellcheck "''${scripts[@]}"
  if grep -nE '(^|[^A-Za-z0-9._/-])/(usr|bin|sbin|opt)/' "''${files[@]}" "''${scripts[@]}" |
    grep -vE ':1:#!|/usr/bin/env|/bin/sh'; then
    echo "these paths do not exist on NixOS" >&2
    exit 1
  fi
  touch $out
''
