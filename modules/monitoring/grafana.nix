# Grafana: the dashboards.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.monitoring.grafana;
  at = "services.aistack.monitoring.grafana";
  inherit (cfg.monitoring)
    alertmanager
    logs
    mixin
    prometheus
    ;
  hardening = import ../lib/hardening.nix { inherit lib; };
  bounded = import ./unit.nix { inherit lib; };
  reachedAt = import ./endpoint.nix { inherit lib; };
  state = "/var/lib/aistack-grafana-secrets";

  fromFile = name: "$__file{/run/credentials/grafana.service/${name}}";
  # Dashboards know them by these uids.
  source = type: name: url: jsonData: {
    inherit
      name
      type
      url
      jsonData
      ;
    uid = "aistack-${type}";
    access = "proxy";
    editable = false;
  };
in
{
  options.services.aistack.monitoring.grafana = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = prometheus.enable && !prometheus.agent;
      defaultText = lib.literalMD "whether a Prometheus on this host keeps samples";
      description = ''
        Whether this host has a Grafana with our dashboards, which is {option}`services.grafana`. Reach
        it through a tunnel ({command}`ssh -L 3000:127.0.0.1:3000 HOST`); its administrator is `admin`.
      '';
    };

    port = lib.mkOption {
      type = lib.types.port;
      default = 3000;
      description = "Port of Grafana on loopback.";
    };

    prometheusUrl = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "https?://[^@]+");
      default = if prometheus.enable && !prometheus.agent then "http://${prometheus.endpoint}" else null;
      defaultText = lib.literalMD "the Prometheus of this host, where one keeps samples";
      example = "https://prometheus.example.org";
      description = "The Prometheus that the dashboards ask.";
    };

    adminPasswordFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/grafana-admin";
      description = ''
        A file with the password of `admin`; only root need read it. With `null`, one is made on the
        host and lies in {file}`${state}/admin-password`. Grafana takes it at its first start;
        afterwards, it is changed in Grafana.
      '';
    };

    secretKeyFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/grafana-secret-key";
      description = ''
        A file with the key by which Grafana encrypts what it stores; only root need read it. With
        `null`, one is made on the host and lies in {file}`${state}/secret-key`.
      '';
    };

    endpoint = reachedAt "its Grafana" own.port;
  };

  config = lib.mkIf (cfg.enable && cfg.monitoring.enable && own.enable) {
    assertions = [
      {
        assertion = own.prometheusUrl != null;
        message = ''
          ${at}.enable is set, but no Prometheus on this host keeps samples and ${at}.prometheusUrl is
          null: the dashboards would be empty. Name one, or set ${at}.enable = false.
        '';
      }
    ];

    services.aistack = {
      settings.host.units = [ "grafana.service" ];
      monitoring.ports."${at}.port" = own.port;
    };

    services.grafana = {
      enable = true;

      settings = {
        server = {
          http_addr = lib.mkDefault "127.0.0.1";
          http_port = own.port;
        };
        security = {
          admin_password = fromFile "admin-password";
          secret_key = fromFile "secret-key";
          disable_gravatar = lib.mkDefault true;
        };
        users.allow_sign_up = lib.mkDefault false;
        "auth.anonymous".enabled = lib.mkDefault false;
        dashboards.default_home_dashboard_path = lib.mkDefault "${mixin}/dashboards/aistack-overview.json";

        # It tells nobody of itself, and loads nothing.
        analytics = {
          reporting_enabled = lib.mkDefault false;
          check_for_updates = lib.mkDefault false;
          check_for_plugin_updates = lib.mkDefault false;
          feedback_links_enabled = lib.mkDefault false;
        };
        news.news_feed_enabled = lib.mkDefault false;
        plugins.preinstall_disabled = lib.mkDefault true;
        snapshots.external_enabled = lib.mkDefault false;
      };

      provision = {
        enable = true;
        datasources.settings.datasources = [
          (
            source "prometheus" "Prometheus" own.prometheusUrl {
              timeInterval = config.services.prometheus.globalConfig.scrape_interval;
              httpMethod = "POST";
            }
            // {
              isDefault = true;
            }
          )
        ]
        ++ lib.optional alertmanager.enable (
          source "alertmanager" "Alertmanager" (
            if alertmanager.local then "http://${alertmanager.endpoint}" else alertmanager.url
          ) { implementation = "prometheus"; }
        )
        ++ lib.optional (logs.lokiUrl != null) (source "loki" "Loki" logs.lokiUrl { });

        dashboards.settings.providers = [
          {
            name = "aistack";
            folder = "aistack";
            disableDeletion = true;
            options.path = "${mixin}/dashboards";
          }
        ];
      };
    };

    systemd.services = {
      aistack-grafana-secrets = {
        description = "aistack's secrets of Grafana that are made on this host";
        wantedBy = [ "grafana.service" ];
        before = [ "grafana.service" ];
        path = [ pkgs.coreutils ];
        enableStrictShellChecks = true;
        script = ''
          cd "$STATE_DIRECTORY"
          for name in admin-password secret-key; do
            if [[ ! -s $name ]]; then
              od --address-radix=n --format=x1 --read-bytes=24 /dev/urandom | tr -d ' \n' > ".$name.new"
              sync ".$name.new"
              mv ".$name.new" "$name"
            fi
          done
          sync .
        '';
        serviceConfig = hardening.sandbox [ hardening.relax.root ] // {
          Type = "oneshot";
          RemainAfterExit = true;
          Slice = "aistack-monitoring.slice";
          StateDirectory = "aistack-grafana-secrets";
          StateDirectoryMode = "0700";
        };
      };

      grafana = lib.mkMerge [
        (bounded "1G")
        {
          serviceConfig = {
            LoadCredential = [
              "admin-password:${lib.defaultTo "${state}/admin-password" own.adminPasswordFile}"
              "secret-key:${lib.defaultTo "${state}/secret-key" own.secretKeyFile}"
            ];
            RestartSec = lib.mkDefault 2;
          };
        }
      ];
    };
  };
}
