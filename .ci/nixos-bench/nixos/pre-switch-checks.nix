# Runs system.preSwitchChecks before a switch, as NixOS's switch-to-configuration does.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  checks = config.system.preSwitchChecks;
  run = pkgs.writeShellScript "pre-switch-checks" (
    lib.concatStrings (
      lib.mapAttrsToList (name: text: ''
        (
          ${text}
        ) || { echo "Pre-switch check '${name}' failed" >&2; exit 1; }
      '') checks
    )
  );
in
{
  system.systemBuilderCommands = lib.mkIf (checks != { } && config.system.switch.enable) ''
    mv $out/bin/switch-to-configuration $out/bin/.switch-to-configuration
    {
      echo '#!${pkgs.runtimeShell}'
      echo "${run} $out \"\''${1:-}\" || exit 1"
      echo "exec $out/bin/.switch-to-configuration \"\$@\""
    } > $out/bin/switch-to-configuration
    chmod +x $out/bin/switch-to-configuration
  '';
}
