# The health of the whole host: a timer that looks. What at, each part says by settings.host.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.health;
  base = import ../lib/stack-unit.nix { inherit config lib pkgs; } {
    name = "health";
    # A database that was stopped on purpose stays so.
    startsNothing = true;
  };
in
{
  options.services.aistack.health = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether a timer looks at the host's units, timers, services, jobs, certificates and disks.
        Its unit `aistack-health.service` fails where something is critical; a warning is only
        logged. {command}`aistack health` looks at once, also without the timer.
      '';
    };

    interval = lib.mkOption {
      type = lib.types.str;
      default = "5min";
      example = "1min";
      description = "Time between two looks, as a time span of {manpage}`systemd.time(7)`.";
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.services.aistack-health = lib.mkIf own.enable (
      base
      // {
        description = "aistack look at the host's health";
        # systemctl.
        path = [ config.systemd.package ];
        restartIfChanged = false;

        serviceConfig = base.serviceConfig // {
          Type = "oneshot";
          ExecStart = "${lib.getExe cfg.package} health";
          # A warning.
          SuccessExitStatus = 1;
          TimeoutStartSec = 60;
        };
      }
    );

    systemd.timers.aistack-health = lib.mkIf own.enable {
      description = "aistack look at the host's health";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        # Not while everything starts.
        OnBootSec = "2min";
        OnUnitInactiveSec = own.interval;
        RandomizedDelaySec = "10s";
      };
    };
  };
}
