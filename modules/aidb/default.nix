# AIDB: the knowledge base over HTTP and MCP.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.aidb;
  at = "services.aistack.aidb";
  httpService = import ../lib/http-service.nix { inherit config lib pkgs; };
  listenOptions = import ../lib/listen-options.nix { inherit lib; };
in
{
  imports = [
    ./balancer.nix
    ./instances.nix
  ];

  options.services.aistack.aidb = listenOptions {
    title = "AIDB";
    port = 8091;
    inherit own;
  };

  config = lib.mkIf cfg.enable {
    services.aistack.settings = {
      aidb = {
        host = own.address;
        port = own.port;
        workers = own.workers;
        allowed_hosts = own.allowedHosts;
        instances = own.instances + lib.length own.hosts;
        drain_s = own.drainSeconds;
      };
      host = {
        units = map (instance: "aistack-${instance.name}.service") own.processes;
        services.aidb = "http://${own.endpoint}";
      };
    };

    networking.firewall.allowedTCPPorts =
      lib.mkIf (cfg.openFirewall && !cfg.nginx.enable && !own.onLoopback)
        [
          own.port
        ];

    warnings = lib.optional (!own.onLoopback) ''
      ${at}.address is "${own.address}": AIDB answers there without TLS, so API keys cross the
      network in clear. Set services.aistack.nginx.enable and leave the address at 127.0.0.1, unless
      that network is private.
    '';

    systemd.services = lib.mkMerge (
      map (instance: {
        "aistack-${instance.name}" = httpService {
          name = "aidb";
          description = "knowledge base (AIDB)";
          instance = instance.name;
          inherit (instance) port;
        };
      }) own.processes
    );
  };
}
