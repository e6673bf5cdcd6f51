# Grafana and logs; and that the watchers are watched and bounded.
{
  all,
  alloy,
  count,
  credentials,
  exporters,
  job,
  jobs,
  lib,
  monitored,
  plain,
  sources,
  ...
}:
{
  testGrafanasSecretsAreFiles = {
    expr = lib.all (lib.hasPrefix "$__file{/run/credentials/grafana.service/") [
      plain.services.grafana.settings.security.admin_password
      plain.services.grafana.settings.security.secret_key
    ];
    expected = true;
  };
  testGrafanaNeitherTellsNorLoads = {
    expr =
      let
        inherit (plain.services.grafana) settings;
      in
      lib.attrValues settings.analytics
      ++ [
        settings."auth.anonymous".enabled
        settings.news.news_feed_enabled
        settings.snapshots.external_enabled
        (!settings.plugins.preinstall_disabled)
        (!settings.security.disable_gravatar)
      ];
    expected = lib.replicate 9 false;
  };
  testDashboardsKnowTheirSources = {
    expr = map (source: "${source.uid} ${source.url}") (sources all);
    expected = [
      "aistack-prometheus http://127.0.0.1:9090"
      "aistack-alertmanager http://127.0.0.1:9093"
      "aistack-loki http://127.0.0.1:3100"
    ];
  };
  testGrafanaOfAPrometheusElsewhere = {
    expr = map (source: source.url) (
      sources (
        monitored {
          prometheus.enable = false;
          grafana = {
            enable = true;
            prometheusUrl = "https://prometheus.test";
          };
        } { }
      )
    );
    expected = [ "https://prometheus.test" ];
  };
  testALokiElsewhere = {
    expr =
      let
        config = monitored {
          logs = {
            enable = true;
            lokiUrl = "https://loki.test";
            tokenFile = "/run/secrets/loki";
          };
        } { };
      in
      {
        inherit (config.services.loki) enable;
        url = lib.hasInfix ''url = "https://loki.test/loki/api/v1/push"'' (alloy config);
        token = lib.hasInfix ''bearer_token_file = "/run/credentials/alloy.service/loki-token"'' (
          alloy config
        );
        balanced = count "{" (alloy config) == count "}" (alloy config);
        given = credentials "alloy" config;
        job = lib.elem "aistack-loki" (jobs config);
      };
    expected = {
      enable = false;
      url = true;
      token = true;
      balanced = true;
      given = [ "loki-token:/run/secrets/loki" ];
      job = false;
    };
  };
  testLogsGoFromTheDisk = {
    expr =
      let
        inherit (all.services.loki.configuration) compactor limits_config;
      in
      {
        inherit (limits_config) retention_period;
        inherit (compactor) retention_enabled delete_request_store;
      };
    expected = {
      retention_period = "336h";
      retention_enabled = true;
      delete_request_store = "filesystem";
    };
  };
  # The folder on this host has Markdown, the site that others publish has its pages.
  testRunbooksAreNamedAsTheyArePublished = {
    expr = map (config: config.services.aistack.monitoring.runbooksEnding) [
      plain
      (monitored { runbooksUrl = "https://wiki.test/runbooks"; } { })
    ];
    expected = [
      ".md"
      ".html"
    ];
  };
  testTheWatcherIsWatched = {
    expr = map (name: all.systemd.services.${name}.onFailure == [ "aistack-issue@%n.service" ]) [
      "alertmanager"
      "alloy"
      "grafana"
      "loki"
      "prometheus"
      "prometheus-postgres-exporter"
    ];
    expected = lib.replicate 6 true;
  };
  testTheWatcherIsBounded = {
    expr =
      lib.filter
        (
          name:
          let
            inherit (all.systemd.services.${name}) serviceConfig;
          in
          serviceConfig.Slice != "aistack-monitoring.slice" || !serviceConfig ? MemoryMax
        )
        (
          [
            "alertmanager"
            "alloy"
            "grafana"
            "loki"
            "prometheus"
          ]
          ++ map (name: "prometheus-${name}-exporter") (exporters all)
        );
    expected = [ ];
  };
}
