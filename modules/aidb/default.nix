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

  options.services.aistack.aidb =
    listenOptions {
      title = "AIDB";
      port = 8091;
      inherit own;
    }
    // {
      console.enable = lib.mkOption {
        type = lib.types.bool;
        default = true;
        description = ''
          Whether AIDB serves a status page for people at `/console/`. It takes admin keys alone, and
          is reached as the API is: from this host, or by {option}`services.aistack.nginx.enable`.
        '';
      };
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
        console = own.console.enable;
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
        "aistack-${instance.name}" = lib.mkMerge [
          (httpService {
            name = "aidb";
            description = "knowledge base (AIDB)";
            instance = instance.name;
            inherit (instance) port;
          })
          # systemctl, by which the console tells of units.
          { path = lib.optional own.console.enable config.systemd.package; }
        ];
      }) own.processes
    );
  };
}
