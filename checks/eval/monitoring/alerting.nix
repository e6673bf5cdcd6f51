# Alertmanager: every alert is an issue first, and then a host's own.
{
  lib,
  monitored,
  plain,
  targets,
  ...
}:
{
  testAlertmanagerOpensNoClusterPort = {
    expr = plain.services.prometheus.alertmanager.extraFlags;
    expected = [ "--cluster.listen-address=" ];
  };
  testAlertsAreIssuesBeforeTheyAreYours = {
    expr =
      let
        config = monitored {
          alertmanager.settings = {
            receivers = [ { name = "team"; } ];
            route.routes = [ { receiver = "team"; } ];
            route.group_by = [ "alertname" ];
          };
        } { };
        inherit (config.services.prometheus.alertmanager.configuration) receivers route;
      in
      {
        inherit (route) group_by;
        routes = map (one: [
          one.receiver
          (one.continue or false)
        ]) route.routes;
        receivers = lib.sort lib.lessThan (map (one: one.name) receivers);
      };
    expected = {
      group_by = [ "alertname" ];
      routes = [
        [
          "aistack"
          true
        ]
        [
          "team"
          false
        ]
      ];
      receivers = [
        "aistack"
        "nobody"
        "team"
      ];
    };
  };
  testAnAlertmanagerElsewhere = {
    expr =
      let
        config = monitored { alertmanager.url = "https://alerts.test/prefix"; } { };
      in
      {
        inherit (config.services.prometheus) alertmanagers;
        local = config.services.prometheus.alertmanager.enable;
        keys = lib.attrNames config.services.aistack.hostKeys;
      };
    expected = {
      alertmanagers = [
        {
          scheme = "https";
          path_prefix = "/prefix";
          static_configs = [ { targets = [ "alerts.test" ]; } ];
        }
      ];
      local = false;
      keys = [ "prometheus" ];
    };
  };
}
