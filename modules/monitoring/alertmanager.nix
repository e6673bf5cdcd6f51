# Alertmanager: groups alerts, silences what follows from others, and tells of them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.monitoring.alertmanager;
  at = "services.aistack.monitoring.alertmanager";
  inherit (cfg.monitoring) prometheus;
  bounded = import ./unit.nix { inherit lib; };
  reachedAt = import ./endpoint.nix { inherit lib; };
  credentials = {
    aistack-key = cfg.hostKeys.alertmanager.file;
  }
  // own.credentialFiles;

  elsewhere = builtins.match "(https?)://([^/]+)(/.*)?" own.url;
  target =
    if own.url == null then
      { static_configs = [ { targets = [ own.endpoint ]; } ]; }
    else
      {
        scheme = lib.elemAt elsewhere 0;
        path_prefix = lib.defaultTo "/" (lib.elemAt elsewhere 2);
        static_configs = [ { targets = [ (lib.elemAt elsewhere 1) ]; } ];
      };
in
{
  options.services.aistack.monitoring.alertmanager = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = prometheus.enable && !prometheus.agent;
      defaultText = lib.literalMD "whether a Prometheus on this host works rules out";
      description = ''
        Whether alerts go to an Alertmanager: {option}`services.prometheus.alertmanager` of this host,
        or {option}`${at}.url`.
      '';
    };

    port = lib.mkOption {
      type = lib.types.port;
      default = 9093;
      description = "Port of Alertmanager on loopback.";
    };

    url = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "https?://[^@]+");
      default = null;
      example = "https://alertmanager.example.org";
      description = ''
        An Alertmanager elsewhere, which gets the alerts in place of one on this host. To make issues
        of them, give it a key with the scope `issues` and the webhook
        `/v1/issues/alertmanager`.
      '';
    };

    settings = lib.mkOption {
      type = (pkgs.formats.json { }).type;
      default = { };
      example = lib.literalExpression ''
        {
          receivers = [
            {
              name = "team";
              webhook_configs = [ { url_file = "/run/credentials/alertmanager.service/team-url"; } ];
            }
          ];
          route.routes = [
            {
              receiver = "team";
              matchers = [ "severity=\"critical\"" ];
            }
          ];
        }
      '';
      description = ''
        Alertmanager's configuration, merged with ours: every alert becomes an issue, and then goes
        to the first of `route.routes` that takes it. Lists grow; what is a single value here wins
        over ours. A `$` is written `$$`.
      '';
    };

    credentialFiles = lib.mkOption {
      type = lib.types.attrsOf lib.types.externalPath;
      default = { };
      example = {
        team-url = "/run/secrets/team-webhook";
      };
      description = ''
        Secrets of your receivers: name -> file, which only root need read. Alertmanager finds each at
        {file}`/run/credentials/alertmanager.service/NAME`.
      '';
    };

    local = lib.mkOption {
      type = lib.types.bool;
      readOnly = true;
      internal = true;
      default = own.enable && own.url == null;
      defaultText = lib.literalMD "whether one runs here";
      description = "Whether Alertmanager runs on this host.";
    };

    endpoint = reachedAt "its Alertmanager" own.port;
  };

  config = lib.mkIf (cfg.enable && cfg.monitoring.enable && own.enable) (
    lib.mkMerge [
      {
        assertions = [
          {
            assertion = own.url == null || own.settings == { };
            message = ''
              ${at}.settings is set, but alerts go to ${at}.url (${toString own.url}): they would not
              be used. Configure that Alertmanager, or take the URL out.
            '';
          }
        ];
        services.prometheus.alertmanagers = lib.mkIf (prometheus.enable && !prometheus.agent) [ target ];
      }

      (lib.mkIf own.local {
        services.aistack = {
          hostKeys.alertmanager.scope = "issues";
          settings.host.units = [ "alertmanager.service" ];
          monitoring = {
            ports."${at}.port" = own.port;

            alertmanager.settings = {
              route = {
                # What no other route takes is an issue already.
                receiver = lib.mkDefault "nobody";
                group_by = lib.mkDefault [ "part" ];
                group_wait = lib.mkDefault "30s";
                group_interval = lib.mkDefault "5m";
                repeat_interval = lib.mkDefault "12h";
                routes = lib.mkBefore [
                  {
                    receiver = "aistack";
                    # One that always fires shows that alerts arrive, and is no issue.
                    matchers = [ "alertname!=\"Watchdog\"" ];
                    # Each by itself: an issue counts what is told, and a group is told whole.
                    group_by = [ "..." ];
                    group_wait = "5s";
                    # Others hear of it too.
                    continue = true;
                  }
                ];
              };

              receivers = [
                { name = "nobody"; }
                {
                  name = "aistack";
                  webhook_configs = [
                    {
                      url = "http://${cfg.aidb.endpoint}/v1/issues/alertmanager";
                      # Issues are ended by people: that an alert is over does not tell why.
                      send_resolved = false;
                      http_config.authorization.credentials_file = "/run/credentials/alertmanager.service/aistack-key";
                    }
                  ];
                }
              ];

              inhibit_rules = [
                # A warning of the same part, and of the same thing where it has several.
                {
                  source_matchers = [ "severity=\"critical\"" ];
                  # Not that rule's below: the two would silence each other.
                  target_matchers = [
                    "severity=~\"warning|info\""
                    "alertname!=\"TargetDown\""
                  ];
                  equal = [
                    "collection"
                    "datname"
                    "instance"
                    "job"
                    "mountpoint"
                    "name"
                    "part"
                    "repository"
                  ];
                }
                # Of what cannot be asked, nothing else is known.
                {
                  source_matchers = [ "alertname=\"TargetDown\"" ];
                  target_matchers = [ "alertname!=\"TargetDown\"" ];
                  equal = [
                    "instance"
                    "job"
                  ];
                }
              ];
            };
          };
        };

        services.prometheus.alertmanager = {
          enable = true;
          inherit (own) port;
          listenAddress = lib.mkDefault "127.0.0.1";
          configuration = own.settings;
          # No cluster: it would listen on all addresses.
          extraFlags = lib.optional (
            config.services.prometheus.alertmanager.clusterPeers == [ ]
          ) "--cluster.listen-address=";
        };

        # For who is called: runbooks begin with a silence by amtool, which asks this one by itself.
        environment = {
          systemPackages = [ config.services.prometheus.alertmanager.package ];
          etc."amtool/config.yml".text = "alertmanager.url: http://${own.endpoint}\n";
        };

        systemd.services.alertmanager = lib.mkMerge [
          (bounded "256M")
          {
            wants = [ "aistack-secrets.service" ];
            after = [ "aistack-secrets.service" ];
            serviceConfig = {
              LoadCredential = lib.mapAttrsToList (name: file: "${name}:${file}") credentials;
              RestartSec = lib.mkDefault 2;
            };
          }
        ];
      })
    ]
  );
}
