# A unit that serves HTTP and MCP: AIDB and the coordinator are such.
#
#   (import ../lib/http-service.nix { inherit config lib pkgs; }) {
#     name = "aidb";              # its section of the settings, and its options below services.aistack
#     description = "...";
#     instance = "aidb-1";        # one of several on this host,
#     port = 8101;                # and where it listens on loopback
#   }
{
  config,
  lib,
  pkgs,
}:
{
  name,
  description,
  instance ? name,
  port ? null,
}:
let
  cfg = config.services.aistack;
  own = cfg.settings.${name};
  behindBalancer = port != null;
  base = import ./stack-unit.nix { inherit config lib pkgs; } {
    inherit name instance;
    onLoopback = behindBalancer || cfg.${name}.onLoopback;
    settings =
      cfg.settings
      // lib.optionalAttrs behindBalancer {
        ${name} = own // {
          host = "127.0.0.1";
          inherit port;
        };
      };
  };
  stopSeconds = builtins.ceil (own.drain_s or 0) + (own.shutdown_s or 20);
in
base
// {
  description = "aistack ${description}";
  wantedBy = [ "aistack.target" ];
  partOf = [ "aistack.target" ];

  # A switch stops it when it can start again, not before all that comes in between.
  stopIfChanged = false;

  # Without Qdrant, Redis or the model it starts and says what it cannot do; without the database,
  # or with an older schema, it ends and tries again. A database may be away for an hour: never given
  # up, only tried more slowly.
  startLimitIntervalSec = 0;

  serviceConfig =
    base.serviceConfig
    // {
      Type = "notify";
      ExecStart = "${lib.getExe cfg.package} serve ${name}";
      # Fed by the event loop: one that is blocked cannot answer, whatever blocks it.
      WatchdogSec = 30;
      # Where several workers share their metrics.
      RuntimeDirectory = "aistack-${instance}";
      RuntimeDirectoryMode = "0700";
      Restart = "always";
      # A configuration that cannot work does not become better by trying.
      RestartPreventExitStatus = 4;
      RestartSec = 1;
      RestartSteps = 5;
      RestartMaxDelaySec = 30;
      TimeoutStopSec = stopSeconds + 10;
      # One document or question that takes more than was thought of must not take the host. A wide
      # margin: a process has 200 MB at work, and 1 GB more for each of two PDFs that it has read
      # at a time by processes of their own; it can go on without the one that is killed.
      MemoryMax = lib.mkDefault "50%";
      OOMPolicy = lib.mkDefault "continue";
    }
    // lib.optionalAttrs cfg.issues.enable {
      # Events wait there while PostgreSQL is away.
      StateDirectory = "aistack-issues";
      StateDirectoryMode = "0700";
    };
}
