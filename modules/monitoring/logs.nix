# The journal, to be searched beside the metrics: Alloy reads it, Loki keeps it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.monitoring.logs;
  at = "services.aistack.monitoring.logs";
  bounded = import ./unit.nix { inherit lib; };
  reachedAt = import ./endpoint.nix { inherit lib; };
  loki = config.services.loki;
  text = builtins.toJSON;

  # Alloy's own language. Labels must have few values: the unit, the level and the host. The id of a
  # request has many, and is structured metadata.
  pipeline = ''
    logging {
      level = "warn"
    }

    loki.source.journal "host" {
      max_age       = "12h"
      labels        = { job = "journal", host = ${text config.networking.hostName} }
      relabel_rules = loki.relabel.journal.rules
      forward_to    = [loki.process.ours.receiver]
    }

    loki.relabel "journal" {
      forward_to = []

      rule {
        source_labels = ["__journal__systemd_unit"]
        target_label  = "unit"
      }
      // One name for all instances of a template, and for what runs once.
      rule {
        source_labels = ["unit"]
        regex         = "(.+@).+([.][a-z]+)"
        target_label  = "unit"
        replacement   = "$1$2"
      }
      rule {
        source_labels = ["unit"]
        regex         = "(run|session)-.+"
        target_label  = "unit"
        replacement   = "$1"
      }
      rule {
        source_labels = ["__journal_priority_keyword"]
        target_label  = "level"
      }
    }

    // Our services write JSON: its level is the true one, and the request can be searched for.
    loki.process "ours" {
      stage.match {
        selector = "{unit=~\"aistack-.+\"}"

        stage.json {
          expressions = { level = "level", request_id = "request_id" }
        }
        stage.labels {
          values = { level = "" }
        }
        stage.structured_metadata {
          values = { request_id = "" }
        }
      }
      forward_to = [loki.write.store.receiver]
    }

    loki.write "store" {
      endpoint {
        url = ${text "${own.lokiUrl}/loki/api/v1/push"}
  ''
  + lib.optionalString (own.tokenFile != null) ''
    ${"    "}bearer_token_file = "/run/credentials/alloy.service/loki-token"
  ''
  + ''
      }
    }
  '';
in
{
  options.services.aistack.monitoring.logs = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = ''
        Whether the host's journal goes to a Loki: {option}`services.loki` of this host, or
        {option}`${at}.lokiUrl`. Off by default, since it writes every line to disk a second time, and
        {command}`journalctl` reads the first.
      '';
    };

    lokiUrl = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "https?://[^@]+[^@/]");
      default = if own.enable then "http://${own.endpoint}" else null;
      defaultText = lib.literalMD "the Loki of this host, where logs are on";
      example = "https://loki.example.org";
      description = ''
        Loki's address, without a path. With another one than this host's, none runs here; Grafana
        asks it also where {option}`${at}.enable` is off.
      '';
    };

    tokenFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/loki-token";
      description = "A file with a bearer token for {option}`${at}.lokiUrl`; only root need read it.";
    };

    retention = lib.mkOption {
      type = lib.types.strMatching "[1-9][0-9]*d";
      default = "14d";
      description = "How long the Loki of this host keeps lines. It knows no limit by size.";
    };

    port = lib.mkOption {
      type = lib.types.port;
      default = 3100;
      description = "Port of Loki on loopback.";
    };

    grpcPort = lib.mkOption {
      type = lib.types.port;
      default = 9096;
      description = "Port on loopback by which Loki's parts reach each other.";
    };

    alloyPort = lib.mkOption {
      type = lib.types.port;
      default = 12345;
      description = "Port of Alloy's metrics on loopback.";
    };

    local = lib.mkOption {
      type = lib.types.bool;
      readOnly = true;
      internal = true;
      default = own.enable && own.lokiUrl == "http://${own.endpoint}";
      defaultText = lib.literalMD "whether one runs here";
      description = "Whether Loki runs on this host.";
    };

    endpoint = reachedAt "its Loki" own.port;

    alloyEndpoint = reachedAt "Alloy's metrics" own.alloyPort;
  };

  config = lib.mkIf (cfg.enable && cfg.monitoring.enable) (
    lib.mkMerge [
      {
        assertions = [
          {
            assertion = own.enable -> own.lokiUrl != null;
            message = "${at}.enable is set, but ${at}.lokiUrl is null: name the Loki, or leave it out for one here.";
          }
          {
            assertion = own.tokenFile != null -> own.enable && !own.local;
            message = ''
              ${at}.tokenFile is set, but no lines go to a Loki elsewhere: set ${at}.enable and
              ${at}.lokiUrl, or take it out.
            '';
          }
        ];
      }

      (lib.mkIf own.enable {
        services.aistack = {
          settings.host.units = [ "alloy.service" ] ++ lib.optional own.local "loki.service";
          monitoring.ports = {
            "${at}.alloyPort" = own.alloyPort;
          }
          // lib.optionalAttrs own.local {
            "${at}.port" = own.port;
            "${at}.grpcPort" = own.grpcPort;
          };
        };

        environment.etc."alloy/aistack.alloy".text = pipeline;
        services.alloy = {
          enable = true;
          extraFlags = [
            "--server.http.listen-addr=${own.alloyEndpoint}"
            "--disable-reporting"
          ];
        };
        systemd.services.alloy = lib.mkMerge [
          (bounded "512M")
          {
            serviceConfig.LoadCredential = lib.optional (own.tokenFile != null) "loki-token:${own.tokenFile}";
          }
        ];
      })

      (lib.mkIf own.local {
        services.loki = {
          enable = true;
          configuration = lib.mapAttrsRecursive (_: lib.mkDefault) {
            # Only this host reaches it.
            auth_enabled = false;
            server = {
              http_listen_address = "127.0.0.1";
              http_listen_port = own.port;
              grpc_listen_address = "127.0.0.1";
              grpc_listen_port = own.grpcPort;
              log_level = "warn";
            };
            common = {
              path_prefix = loki.dataDir;
              replication_factor = 1;
              instance_addr = "127.0.0.1";
              ring.kvstore.store = "inmemory";
              storage.filesystem = {
                chunks_directory = "${loki.dataDir}/chunks";
                rules_directory = "${loki.dataDir}/rules";
              };
            };
            schema_config.configs = [
              {
                from = "2026-01-01";
                store = "tsdb";
                object_store = "filesystem";
                schema = "v13";
                index = {
                  prefix = "index_";
                  period = "24h";
                };
              }
            ];
            limits_config = {
              retention_period = "${toString (24 * lib.toInt (lib.removeSuffix "d" own.retention))}h";
              # An Alloy that was away sends what it missed.
              reject_old_samples_max_age = "168h";
              max_label_names_per_series = 8;
            };
            # What is older than that goes from the disk.
            compactor = {
              working_directory = "${loki.dataDir}/compactor";
              retention_enabled = true;
              delete_request_store = "filesystem";
            };
            analytics.reporting_enabled = false;
          };
        };
        systemd.services.loki = bounded "1G";
      })
    ]
  );
}
