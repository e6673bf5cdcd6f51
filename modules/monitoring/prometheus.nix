# Prometheus: keeps what is measured, works out the rules, and hands alerts on.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.monitoring.prometheus;
  at = "services.aistack.monitoring.prometheus";
  bounded = import ./unit.nix { inherit lib; };
  reachedAt = import ./endpoint.nix { inherit lib; };
  remote = own.remoteWriteUrl != null;
in
{
  options.services.aistack.monitoring.prometheus = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether this host has a Prometheus, which is {option}`services.prometheus`: what else it shall
        scrape belongs into {option}`services.prometheus.scrapeConfigs`.
      '';
    };

    port = lib.mkOption {
      type = lib.types.port;
      default = 9090;
      description = "Port of Prometheus on loopback.";
    };

    retention = lib.mkOption {
      type = lib.types.strMatching "[0-9]+[dwy]";
      default = "30d";
      description = "How long samples stay.";
    };

    retentionSize = lib.mkOption {
      type = lib.types.strMatching "[0-9]+[MGT]B";
      default = "8GB";
      description = "Space above which the oldest samples go, also before their time.";
    };

    remoteWriteUrl = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "https?://[^@]+");
      default = null;
      example = "https://prometheus.example.org/api/v1/write";
      description = "A Prometheus elsewhere, or what speaks its remote-write protocol, that gets all samples.";
    };

    remoteWriteTokenFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/prometheus-remote-write";
      description = "A file with a bearer token for {option}`${at}.remoteWriteUrl`; only root need read it.";
    };

    agent = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Whether this Prometheus only scrapes, and sends what it finds to
        {option}`${at}.remoteWriteUrl`: it keeps nothing, can be asked nothing and tells of no alert.
        The rules are worked out there; {command}`aistack mixin render` writes them.
      '';
    };

    endpoint = reachedAt "its Prometheus" own.port;

    credentials = lib.mkOption {
      type = lib.types.attrsOf lib.types.str;
      default = { };
      internal = true;
      description = "Secrets that Prometheus reads: name -> file.";
    };

    credentialsFolder = lib.mkOption {
      type = lib.types.str;
      readOnly = true;
      internal = true;
      default = "/run/credentials/prometheus.service";
      description = "Where it reads them.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.monitoring.enable && own.enable) {
    assertions = [
      {
        assertion = own.agent -> remote;
        message = ''
          ${at}.agent is set, but ${at}.remoteWriteUrl is null: what is scraped would go nowhere.
          Name the Prometheus that keeps it.
        '';
      }
      {
        assertion = own.remoteWriteTokenFile != null -> remote;
        message = ''
          ${at}.remoteWriteTokenFile is set, but ${at}.remoteWriteUrl is null: name whom it is for.
        '';
      }
    ];

    services.aistack = {
      hostKeys.prometheus.scope = "metrics";
      settings.host.units = [ "prometheus.service" ];
      monitoring = {
        ports."${at}.port" = own.port;
        prometheus.credentials = {
          aistack-key = cfg.hostKeys.prometheus.file;
        }
        // lib.optionalAttrs (own.remoteWriteTokenFile != null) {
          remote-write-token = own.remoteWriteTokenFile;
        };
      };
    };

    services.prometheus = {
      enable = true;
      inherit (own) port;
      listenAddress = lib.mkDefault "127.0.0.1";
      # What holds secrets is not there when the system is built.
      checkConfig = lib.mkDefault "syntax-only";
      enableReload = lib.mkDefault true;
      enableAgentMode = own.agent;

      globalConfig = {
        scrape_interval = lib.mkDefault "15s";
        evaluation_interval = lib.mkDefault "15s";
        # Tells hosts apart where samples or alerts of several come together.
        external_labels.host = lib.mkDefault config.networking.hostName;
      };

      remoteWrite = lib.optional remote (
        {
          name = "aistack";
          url = own.remoteWriteUrl;
        }
        // lib.optionalAttrs (own.remoteWriteTokenFile != null) {
          bearer_token_file = "${own.credentialsFolder}/remote-write-token";
        }
      );
    }
    // lib.optionalAttrs (!own.agent) {
      ruleFiles = [ "${cfg.monitoring.mixin}/rules.json" ];
      retentionTime = lib.mkDefault own.retention;
      extraFlags = [ "--storage.tsdb.retention.size=${own.retentionSize}" ];
    };

    systemd.services.prometheus = lib.mkMerge [
      (bounded "2G")
      {
        # They make what it is to be given.
        wants = [
          "aistack-qdrant-key.service"
          "aistack-secrets.service"
        ];
        after = [
          "aistack-qdrant-key.service"
          "aistack-secrets.service"
        ];
        serviceConfig = {
          LoadCredential = lib.mapAttrsToList (name: file: "${name}:${file}") own.credentials;
          RestartSec = lib.mkDefault 2;
        };
      }
    ];
  };
}
