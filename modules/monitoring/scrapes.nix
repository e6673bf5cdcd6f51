# What Prometheus asks: our services, the stores, and what exports their metrics.
#
# Rules and dashboards select by these names of jobs, and work in any Prometheus that has them.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.monitoring;
  inherit (own.prometheus) credentialsFolder;
  inherit (config.services.prometheus) exporters;

  job =
    name: targets: more:
    {
      job_name = "aistack-${name}";
      static_configs = [ { inherit targets; } ];
    }
    // more;
  bearer = name: { authorization.credentials_file = "${credentialsFolder}/${name}"; };
  exporter =
    name:
    let
      inherit (exporters.${name}) listenAddress port;
    in
    job name [ "${listenAddress}:${toString port}" ] { };

  # Each instance tells of itself; a balancer would tell of whichever answers.
  instances =
    if cfg.aidb.balanced then
      map (instance: "127.0.0.1:${toString instance.port}") cfg.aidb.processes
    else
      [ cfg.aidb.endpoint ];

  index = lib.head (builtins.match "[a-z]+://([^/]+).*" cfg.settings.qdrant.url);
  indexKey = cfg.credentials.qdrant-api-key or null;
in
{
  config = lib.mkIf (cfg.enable && own.enable && own.prometheus.enable) {
    services.aistack.monitoring.prometheus.credentials = lib.mkIf (indexKey != null) {
      qdrant-api-key = indexKey;
    };

    services.prometheus.scrapeConfigs = [
      (job "aidb" instances (bearer "aistack-key"))
      (job "qdrant" [ index ] (
        {
          scheme = if lib.hasPrefix "https:" cfg.settings.qdrant.url then "https" else "http";
        }
        // lib.optionalAttrs (indexKey != null) (bearer "qdrant-api-key")
      ))
      (job "prometheus" [ own.prometheus.endpoint ] { })
    ]
    ++ lib.optional cfg.coordinator.enable (
      job "coordinator" [ cfg.coordinator.endpoint ] (bearer "aistack-key")
    )
    # HAProxy's own numbers.
    ++ lib.optional cfg.aidb.balanced (
      job "balancer" [ "127.0.0.1:${toString cfg.aidb.instancesPort}" ] { }
    )
    ++ map exporter (
      lib.filter (name: own.exporters.${name}.enable) [
        "node"
        "postgres"
        "redis"
        "nginx"
      ]
    )
    ++ lib.optional own.alertmanager.local (job "alertmanager" [ own.alertmanager.endpoint ] { })
    ++ lib.optional own.grafana.enable (job "grafana" [ own.grafana.endpoint ] { })
    ++ lib.optional own.logs.local (job "loki" [ own.logs.endpoint ] { })
    ++ lib.optional own.logs.enable (job "alloy" [ own.logs.alloyEndpoint ] { });
  };
}
