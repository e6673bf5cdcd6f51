# What cannot work is told when the system is built.
{
  agent,
  complains,
  complaints,
  elsewhere,
  exporters,
  served,
  ...
}:
{
  testTwoOnOnePort = complains "prometheus.port" { prometheus.port = 8091; } { };
  testTwoOfMonitoringOnOnePort = complains "grafana.port" { grafana.port = 9090; } { };
  testAPortOfAnInstance = complains "alertmanager.port" { alertmanager.port = 8101; } {
    aidb.instances = 2;
  };
  testAnAgentForNobody = complains "prometheus.agent" { prometheus.agent = true; } { };
  testATokenForNobody = complains "prometheus.remoteWriteTokenFile" {
    prometheus.remoteWriteTokenFile = "/run/secrets/token";
  } { };
  testEmptyDashboards = complains "grafana.enable" {
    prometheus.enable = false;
    grafana.enable = true;
  } { };
  testALokiTokenForNobody = complains "logs.tokenFile" { logs.tokenFile = "/run/secrets/loki"; } { };
  testRoutesOfAnAlertmanagerElsewhere = complains "alertmanager.settings" {
    alertmanager = {
      url = "https://alerts.test";
      settings.route.receiver = "x";
    };
  } { };
  testExporterOfAPostgresElsewhere = complains "exporters.postgres.enable" {
    exporters.postgres.enable = true;
  } elsewhere;
  testExporterOfARedisElsewhere = complains "exporters.redis.enable" {
    exporters.redis.enable = true;
  } elsewhere;
  testExporterOfNoNginx = complains "exporters.nginx.enable" { exporters.nginx.enable = true; } { };
  testMonitoringComplainsOfNothing = {
    expr = map complaints [
      { monitoring.enable = true; }
      (
        served { }
        // {
          aidb.instances = 2;
          monitoring = {
            enable = true;
            logs.enable = true;
          };
        }
      )
    ];
    expected = [
      [ ]
      [ ]
    ];
  };
}
