# PostgreSQL 16 on the bench has a helper tell systemd that it is ready (packages.nix).
{ config, lib, ... }:
let
  postgresql = config.services.postgresql;
in
{
  systemd.services = lib.mkIf (postgresql.enable && postgresql.package.psqlSchema == "16") {
    postgresql.serviceConfig.NotifyAccess = "all";
  };
}
