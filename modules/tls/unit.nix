# What a unit needs that deploys certificates: for the jobs and for the command `aistack tls`.
{ config, lib }:
let
  cfg = config.services.aistack;
  credentials = import ../lib/credentials.nix { inherit lib; };
  hardening = import ../lib/hardening.nix { inherit lib; };
in
{
  # The certificate's folder, the authority's key and the reload of nginx are root's; still it has no
  # capability.
  deployer =
    relaxations:
    hardening.sandbox (relaxations ++ [ hardening.relax.root ])
    // {
      Slice = "aistack.slice";
      # nginx's workers read the key by it.
      Group = config.services.nginx.group;
      StateDirectory = "aistack-tls";
      StateDirectoryMode = "0755";
      # Its own, and to record its runs the database's.
      LoadCredential = credentials.load (
        cfg.tls.credentials // credentials.only [ "postgres-password" ] cfg.credentials
      );
    };
}
