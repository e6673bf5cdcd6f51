# Debian has neither Grafana nor Loki nor Alloy: on the bench their units are masked, so that a check
# tries all the rest. What it leaves out for that, it says.
{ config, lib, ... }:
{
  systemd.services =
    lib.genAttrs
      (lib.filter (name: config.services.${name}.enable) [
        "alloy"
        "grafana"
        "loki"
      ])
      (_: {
        enable = lib.mkForce false;
      });
}
