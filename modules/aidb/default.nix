# AIDB: the knowledge base over HTTP and MCP.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  at = "services.aistack.aidb";
  loopback = [
    "127.0.0.1"
    "::1"
    "localhost"
  ];
in
{
  imports = [
    ./migrate.nix
    ./service.nix
  ];

  options.services.aistack.aidb = {
    address = lib.mkOption {
      type = lib.types.str;
      default = "127.0.0.1";
      example = "192.168.10.2";
      description = ''
        Address that AIDB listens on. Beyond loopback it answers without TLS: prefer
        {option}`services.aistack.nginx.enable`.
      '';
    };

    port = lib.mkOption {
      type = lib.types.port;
      default = 8091;
      description = "TCP port of AIDB: HTTP under `/v1`, MCP under `/mcp`.";
    };

    workers = lib.mkOption {
      type = lib.types.ints.between 1 64;
      default = 1;
      description = "Number of processes that answer; each takes one core at most.";
    };

    allowedHosts = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "kb.example.org" ];
      description = ''
        Host names by which clients may ask for MCP, besides loopback ones;
        {option}`services.aistack.nginx.domain` is always among them.
      '';
    };

    extraGroups = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      internal = true;
      description = "Groups whose sockets AIDB reaches.";
    };

    onLoopback = lib.mkOption {
      type = lib.types.bool;
      readOnly = true;
      internal = true;
      default = lib.elem cfg.aidb.address loopback || lib.hasPrefix "127." cfg.aidb.address;
      defaultText = lib.literalMD "whether the address is a loopback one";
      description = "Whether AIDB is reached from this host only.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.aistack.settings.aidb = {
      host = lib.mkDefault cfg.aidb.address;
      port = lib.mkDefault cfg.aidb.port;
      workers = lib.mkDefault cfg.aidb.workers;
      allowed_hosts = lib.mkDefault cfg.aidb.allowedHosts;
    };

    networking.firewall.allowedTCPPorts = lib.mkIf (cfg.openFirewall && !cfg.aidb.onLoopback) [
      cfg.aidb.port
    ];

    warnings = lib.optional (!cfg.aidb.onLoopback) ''
      ${at}.address is "${cfg.aidb.address}": AIDB answers there without TLS, so API keys cross the
      network in clear. Set services.aistack.nginx.enable and leave the address at 127.0.0.1, unless
      that network is private.
    '';
  };
}
