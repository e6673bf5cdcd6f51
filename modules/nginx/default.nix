# The way in from other hosts: an nginx virtual host with TLS.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  at = "services.aistack.nginx";
  address = if lib.hasInfix ":" cfg.aidb.address then "[${cfg.aidb.address}]" else cfg.aidb.address;

  proxy = more: {
    proxyPass = "http://aistack-aidb";
    recommendedProxySettings = true;
    # Stated here, because headers set in a location end the inheritance of all outer ones.
    extraConfig = ''
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Request-Id $request_id;
    ''
    + more;
  };
in
{
  imports = [
    ./certificate.nix
    ./limits.nix
    ./problems.nix
  ];

  options.services.aistack.nginx = {
    enable = lib.mkEnableOption ''
      an nginx virtual host in front of AIDB, which listens on all addresses with TLS. The firewall
      stays closed until {option}`services.aistack.openFirewall`'';

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
      80
      443
    ];

    services.aistack.aidb.allowedHosts = lib.mkIf (cfg.nginx.enable && cfg.nginx.domain != null) [
      cfg.nginx.domain
    ];

    services.nginx = lib.mkIf (cfg.nginx.enable && cfg.nginx.domain != null) {
      enable = true;
      recommendedTlsSettings = lib.mkDefault true;

      upstreams.aistack-aidb = {
        servers."${address}:${toString cfg.aidb.port}" = { };
        extraConfig = "keepalive 32;";
      };

      virtualHosts.${cfg.nginx.domain} = {
        forceSSL = true;
        locations."/" = proxy "";
        # Answers of MCP may be streams.
        locations."= /mcp" = proxy ''
          proxy_buffering off;
          proxy_read_timeout 300s;
        '';
      };
    };
  };
}
