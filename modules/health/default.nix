# The health of the whole host: what `aistack health` looks at, and a timer that looks.
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
    services.aistack.settings.host = {
      units =
        map (instance: "aistack-${instance.name}.service") cfg.aidb.processes
        ++ lib.optional cfg.aidb.balanced "aistack-balancer.service"
        ++ lib.optional cfg.coordinator.enable "aistack-coordinator.service"
        ++ [ "aistack-migrate.service" ]
        ++ lib.optional cfg.gc.enable "aistack-gc.service"
        ++ lib.optional cfg.postgresql.createLocally "postgresql.service"
        ++ lib.optional cfg.qdrant.createLocally "qdrant.service"
        ++ lib.optional cfg.redis.createLocally "redis-aistack.service"
        ++ lib.optional (cfg.embeddings.llamaCpp.model != null) "llama-cpp.service"
        ++ lib.optionals cfg.nginx.enable [
          "nginx.service"
          "aistack-tls.service"
          "aistack-tls-renew.service"
        ];
      timers =
        lib.optional cfg.gc.enable "aistack-gc.timer"
        ++ lib.optional cfg.nginx.enable "aistack-tls-renew.timer"
        ++ lib.optional (
          cfg.tls.enabled && cfg.tls.provider == "acme"
        ) "acme-renew-${cfg.nginx.domain}.timer";
      services = {
        aidb = "http://${cfg.aidb.endpoint}";
      }
      // lib.optionalAttrs cfg.coordinator.enable {
        coordinator = "http://${cfg.coordinator.endpoint}";
      };
      instances = lib.listToAttrs (
        map (instance: lib.nameValuePair instance.name "http://127.0.0.1:${toString instance.port}") (
          lib.optionals cfg.aidb.balanced cfg.aidb.processes
        )
      );
      ports = lib.optionals cfg.tls.enabled [
        "${cfg.nginx.localAddress}:${toString cfg.nginx.httpPort}"
        cfg.tls.servedAt
      ];
      jobs =
        # Another schedule has another age; whoever sets it knows which.
        lib.optionalAttrs (cfg.gc.enable && cfg.gc.schedule == "*-*-* 02:00:00") { gc = 49; }
        // lib.optionalAttrs cfg.tls.enabled { tls_renew = 25; };
    };

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
