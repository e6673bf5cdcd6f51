# Probes: what a client sees, asked from this host over HTTPS and TCP.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.monitoring.exporters.blackbox;
  exporter = config.services.prometheus.exporters.blackbox;
  inherit (cfg.nginx) domain localAddress;

  port = lib.optionalString (cfg.nginx.httpsPort != 443) ":${toString cfg.nginx.httpsPort}";
  # One probe: asks `address` by `module`, and is called `name`.
  probe = module: name: address: {
    targets = [ name ];
    labels = {
      __param_module = module;
      __param_target = address;
    };
  };
  page =
    path: probe "aistack_https" "https://${domain}${port}${path}" "https://${cfg.tls.servedAt}${path}";
  tcp =
    number: probe "aistack_tcp" "${domain}:${toString number}" "${localAddress}:${toString number}";
  plain =
    endpoint: probe "aistack_http" "http://${endpoint}/health/ready" "http://${endpoint}/health/ready";

  probes =
    if cfg.tls.enabled then
      [
        (page "/health/ready")
        (tcp cfg.nginx.httpPort)
        (tcp cfg.nginx.httpsPort)
      ]
      ++ lib.optional cfg.coordinator.enable (page "/coordinator/health/ready")
    else
      [ (plain cfg.aidb.endpoint) ]
      ++ lib.optional cfg.coordinator.enable (plain cfg.coordinator.endpoint);

  http = more: {
    prober = "http";
    timeout = "5s";
    http = {
      preferred_ip_protocol = "ip4";
      follow_redirects = false;
    }
    // more;
  };
  modules = {
    aistack_http = http { };
    aistack_tcp = {
      prober = "tcp";
      timeout = "5s";
      tcp.preferred_ip_protocol = "ip4";
    };
  }
  // lib.optionalAttrs cfg.tls.enabled {
    aistack_https = http {
      fail_if_not_ssl = true;
      headers.Host = "${domain}${port}";
      tls_config = {
        server_name = domain;
      }
      // lib.optionalAttrs (own.caFile != null) { ca_file = own.caFile; };
    };
  };
in
{
  options.services.aistack.monitoring.exporters.blackbox = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether blackbox_exporter asks what nginx serves, as clients do, and sees its certificate;
        without nginx, whether AIDB and the coordinator are ready.
      '';
    };

    caFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = if cfg.tls.provider == "selfSigned" then "${cfg.tls.folder}/ca.pem" else null;
      defaultText = lib.literalMD "this host's own authority, where that makes the certificate";
      example = "/etc/ssl/certs/our-ca.pem";
      description = ''
        A file with the authorities that may have signed the certificate, readable by everybody; with
        `null`, those that the host trusts.
      '';
    };
  };

  config = lib.mkIf (cfg.enable && cfg.monitoring.enable && own.enable) {
    services.prometheus = {
      # Else each probe is six lines of the journal.
      exporters.blackbox.extraFlags = [ "--log.prober=error" ];
      exporters.blackbox.configFile = lib.mkDefault (
        (pkgs.formats.yaml { }).generate "aistack-blackbox.yml" { inherit modules; }
      );

      scrapeConfigs = lib.mkIf cfg.monitoring.prometheus.enable [
        {
          job_name = "aistack-blackbox";
          metrics_path = "/probe";
          static_configs = probes;
          relabel_configs = [
            {
              source_labels = [ "__address__" ];
              target_label = "instance";
            }
            {
              target_label = "__address__";
              replacement = "${exporter.listenAddress}:${toString exporter.port}";
            }
          ];
        }
      ];
    };
  };
}
