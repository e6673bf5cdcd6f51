# A unit that serves HTTP and MCP: AIDB and the coordinator are such.
#
#   (import ../lib/http-service.nix { inherit config lib pkgs; }) {
#     name = "aidb";              # its section of the settings, and its options below services.aistack
#     description = "...";
#     others = [ "coordinator" ]; # sections that it does not read
#   }
{
  config,
  lib,
  pkgs,
}:
{
  name,
  description,
  others,
}:
let
  cfg = config.services.aistack;
  base = import ./stack-unit.nix { inherit config lib pkgs; } {
    inherit name others;
    inherit (cfg.${name}) onLoopback;
  };
  shutdownSeconds = cfg.settings.${name}.shutdown_s or 20;
in
base
// {
  description = "aistack ${description}";
  wantedBy = [ "aistack.target" ];
  partOf = [ "aistack.target" ];

  # Without Qdrant, Redis or the model it starts and says what it cannot do; without the database,
  # or with an older schema, it ends and tries again. A database may be away for an hour: never given
  # up, only tried more slowly.
  startLimitIntervalSec = 0;

  serviceConfig = base.serviceConfig // {
    Type = "notify";
    ExecStart = "${lib.getExe cfg.package} serve ${name}";
    # Fed by the event loop: one that is blocked cannot answer, whatever blocks it.
    WatchdogSec = 30;
    # Where several workers share their metrics.
    RuntimeDirectory = "aistack-${name}";
    RuntimeDirectoryMode = "0700";
    Restart = "always";
    # A configuration that cannot work does not become better by trying.
    RestartPreventExitStatus = 4;
    RestartSec = 1;
    RestartSteps = 5;
    RestartMaxDelaySec = 30;
    TimeoutStopSec = shutdownSeconds + 10;
  };
}
