# The way in from other hosts: an nginx virtual host with TLS.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  at = "services.aistack.nginx";
  enabled = cfg.nginx.enable && cfg.nginx.domain != null;
  coordinator = enabled && cfg.coordinator.enable;

  upstream = service: {
    servers.${service.endpoint} = { };
    extraConfig = "keepalive 32;";
  };

  proxy = to: more: {
    proxyPass = "http://${to}";
    recommendedProxySettings = true;
    # Stated here, because headers set in a location end the inheritance of all outer ones.
    extraConfig = ''
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Request-Id $request_id;
    ''
    + more;
  };
  # Answers of MCP may be streams.
  streams = ''
    proxy_buffering off;
    proxy_read_timeout 300s;
  '';
in
{
  imports = [
    ./limits.nix
    ./problems.nix
  ];

  options.services.aistack.nginx = {
    enable = lib.mkEnableOption ''
      an nginx virtual host in front of AIDB and, below `/coordinator/`, the coordinator. It listens
      on all addresses, with TLS. The firewall stays closed until {option}`services.aistack.openFirewall`'';

    domain = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "[a-z0-9]([a-z0-9.-]*[a-z0-9])?");
      default = null;
      example = "kb.example.org";
      description = "Name of the virtual host, in lower case.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.nginx.enable -> cfg.nginx.domain != null;
        message = "${at}.enable needs ${at}.domain: the name that clients use for this host.";
      }
    ];

    networking.firewall.allowedTCPPorts = lib.mkIf (cfg.openFirewall && cfg.nginx.enable) [
      cfg.nginx.httpPort
      cfg.nginx.httpsPort
    ];

    services.aistack = lib.mkIf enabled {
      aidb.allowedHosts = [ cfg.nginx.domain ];
      coordinator.allowedHosts = [ cfg.nginx.domain ];
    };

    services.nginx = lib.mkIf enabled {
      enable = true;
      recommendedTlsSettings = lib.mkDefault true;

      upstreams = {
        aistack-aidb = upstream cfg.aidb;
        aistack-coordinator = lib.mkIf coordinator (upstream cfg.coordinator);
      };

      virtualHosts.${cfg.nginx.domain} = {
        locations = {
          "/" = proxy "aistack-aidb" "";
          "= /mcp" = proxy "aistack-aidb" streams;
          # Both have paths below /v1: the coordinator's have a prefix, which it does not see.
          "/coordinator/" = lib.mkIf coordinator (proxy "aistack-coordinator/" "");
          "= /coordinator/mcp" = lib.mkIf coordinator (proxy "aistack-coordinator/mcp" streams);
        };
      };
    };
  };
}
