# Exporters: they ask what has no metrics in Prometheus' form, with the least rights that do.
#
# There is no exporter of systemd beside node_exporter, whose collector tells of units, their restarts
# and timers.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.monitoring.exporters;
  at = "services.aistack.monitoring.exporters";
  hardening = import ../lib/hardening.nix { inherit lib; };
  bounded = import ./unit.nix { inherit lib; };
  database = config.services.postgresql;
  redis = config.services.redis.servers.aistack;
  role = config.services.prometheus.exporters.postgres.user;

  active = lib.filterAttrs (_: exporter: exporter.enable) {
    inherit (own)
      node
      postgres
      redis
      nginx
      blackbox
      ;
  };
  exporter =
    default: where: what:
    lib.mkOption {
      type = lib.types.bool;
      inherit default;
      defaultText = lib.literalMD where;
      description = "Whether ${what}.";
    };
in
{
  options.services.aistack.monitoring.exporters = {
    node.enable = exporter true "`true`" ''
      node_exporter tells of this host and of its units
      ({option}`services.prometheus.exporters.node`)'';

    postgres.enable = exporter cfg.postgresql.createLocally "whether PostgreSQL runs on this host" ''
      postgres_exporter tells of PostgreSQL: by its socket, as a role of its own that may read
      statistics alone (`pg_monitor`)'';

    redis.enable =
      exporter cfg.redis.createLocally "whether Redis runs on this host"
        "redis_exporter tells of the stack's Redis, by its socket";

    nginx.enable = exporter cfg.tls.enabled "whether nginx serves" ''
      nginx-prometheus-exporter tells of nginx, which shows its state on loopback, at
      {option}`${at}.nginx.statusPort`'';

    nginx.statusPort = lib.mkOption {
      type = lib.types.port;
      default = 8094;
      description = "Port on loopback at which nginx shows its state.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.monitoring.enable) {
    assertions = [
      {
        assertion = own.postgres.enable -> cfg.postgresql.createLocally;
        message = ''
          ${at}.postgres.enable is set, but services.aistack.postgresql.createLocally is off: the
          exporter reads the socket of a PostgreSQL on this host. Run one on the database's host.
        '';
      }
      {
        assertion = own.redis.enable -> cfg.redis.createLocally;
        message = ''
          ${at}.redis.enable is set, but services.aistack.redis.createLocally is off: the exporter
          reads the socket of a Redis on this host. Run one on the host of that Redis.
        '';
      }
      {
        assertion = own.nginx.enable -> cfg.tls.enabled;
        message = "${at}.nginx.enable is set, but services.aistack.nginx.enable is off: there is no nginx.";
      }
    ];

    services.aistack = {
      settings.host.units = map (name: "prometheus-${name}-exporter.service") (lib.attrNames active);
      monitoring.ports =
        lib.mapAttrs' (
          name: _:
          lib.nameValuePair "services.prometheus.exporters.${name}.port"
            config.services.prometheus.exporters.${name}.port
        ) active
        // lib.optionalAttrs own.nginx.enable { "${at}.nginx.statusPort" = own.nginx.statusPort; };
    };

    services.prometheus.exporters = lib.mkMerge [
      (lib.mapAttrs (_: _: {
        enable = true;
        listenAddress = lib.mkDefault "127.0.0.1";
      }) active)
      {
        node = lib.mkIf own.node.enable {
          enabledCollectors = [ "systemd" ];
          disabledCollectors = [ "textfile" ];
          extraFlags = [
            "--collector.systemd.enable-restarts-metrics"
            "--collector.systemd.enable-start-time-metrics"
            # Not the units that each run of a command makes: they would be new series each time.
            "--collector.systemd.unit-include=.+[.](service|timer)"
            "--collector.systemd.unit-exclude=(run-|user@).+"
          ];
        };

        postgres = lib.mkIf own.postgres.enable {
          dataSourceName = lib.mkDefault "host=/run/postgresql port=${toString database.settings.port} dbname=aistack user=${role} sslmode=disable";
          extraFlags = [
            "--collector.database_wraparound"
            "--collector.long_running_transactions"
          ];
        };

        redis = lib.mkIf own.redis.enable {
          extraFlags = [ "-redis.addr=unix://${redis.unixSocket}" ];
        };

        nginx = lib.mkIf own.nginx.enable {
          scrapeUri = lib.mkDefault "http://127.0.0.1:${toString own.nginx.statusPort}/status";
        };
      }
    ];

    services.postgresql.ensureUsers = lib.mkIf own.postgres.enable [ { name = role; } ];

    services.nginx.virtualHosts.aistack-status = lib.mkIf own.nginx.enable {
      serverName = "127.0.0.1";
      listen = [
        {
          addr = "127.0.0.1";
          port = own.nginx.statusPort;
        }
      ];
      locations."= /status".extraConfig = ''
        stub_status;
        access_log off;
      '';
    };

    systemd.services = lib.mkMerge [
      (lib.mapAttrs' (name: _: lib.nameValuePair "prometheus-${name}-exporter" (bounded "256M")) active)

      (lib.mkIf own.redis.enable {
        prometheus-redis-exporter.serviceConfig.SupplementaryGroups = [ redis.group ];
      })

      (lib.mkIf own.postgres.enable {
        # ensureUsers knows nothing of memberships.
        aistack-postgres-exporter-role = {
          description = "aistack right of PostgreSQL's exporter to read statistics";
          wantedBy = [ "prometheus-postgres-exporter.service" ];
          before = [ "prometheus-postgres-exporter.service" ];
          requires = [ "postgresql.target" ];
          after = [ "postgresql.target" ];
          environment.PGPORT = toString database.settings.port;
          # A PostgreSQL that crashes takes it along, also twice.
          startLimitIntervalSec = 0;
          serviceConfig = hardening.sandbox [ hardening.relax.shared ] // {
            Type = "oneshot";
            RemainAfterExit = true;
            Slice = "aistack-monitoring.slice";
            User = "postgres";
            Group = "postgres";
            ExecStart = ''
              ${lib.getExe' database.finalPackage "psql"} --no-psqlrc --quiet \
                --command='GRANT pg_monitor TO "${role}"' postgres
            '';
            Restart = "on-failure";
            RestartSec = 2;
          };
        };
      })
    ];
  };
}
