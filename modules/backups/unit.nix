# What a unit needs that works on backups: as PostgreSQL's administrator (jobs), or as root (a
# restore, which replaces the data folder). For the jobs and for the command `aistack`.
{
  config,
  lib,
  pkgs,
}:
let
  cfg = config.services.aistack;
  own = cfg.backups;
  credentials = import ../lib/credentials.nix { inherit lib; };
  hardening = import ../lib/hardening.nix { inherit lib; };

  # The index is asked for its snapshots; the other stores' secrets are of no use here.
  secrets = own.credentials // credentials.only [ "qdrant-api-key" ] cfg.credentials;
  common = {
    Slice = "aistack.slice";
    LoadCredential = credentials.load secrets;
    # What lacks its secret is told; the other repositories have theirs.
    SetCredential = credentials.orBlank own.credentials;
  };
in
{
  # pg_dump and pg_amcheck of the server's own version; qdrant for a scratch server.
  path = [
    config.services.postgresql.finalPackage
    own.pgbackrestPackage
    own.resticPackage
    pkgs.openssh
    config.services.qdrant.package
  ];

  administrator =
    relaxation:
    hardening.sandbox [
      relaxation
      hardening.relax.shared
    ]
    // common
    // {
      User = "postgres";
      Group = "postgres";
      # A scratch Qdrant opens as many files as the real one.
      LimitNOFILE = 65536;
      ReadWritePaths = [ own.stateDir ] ++ map (folder: "-${folder}") own.folders;
    };

  # Stops and starts units, moves the data folder aside, writes where --into says, and starts
  # programs as the user postgres: that takes root, these capabilities, and sight of all folders.
  # Everything else of the sandbox stays.
  root =
    hardening.sandbox [
      hardening.relax.network
      hardening.relax.root
      hardening.relax.shared
      {
        # One value: of several, systemd-run takes the last.
        CapabilityBoundingSet = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_SETGID CAP_SETPCAP CAP_SETUID";
        PrivateTmp = false;
        # systemd-run knows only yes and no.
        PrivateUsers = false;
        ProtectHome = false;
        ProtectSystem = "full";
        SystemCallFilter = [
          "@system-service"
          "~@resources"
        ];
      }
    ]
    // common;
}
