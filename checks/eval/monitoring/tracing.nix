# Traces: the services alone know of the collector, and leave the host for it only where it is.
{
  with',
  ...
}:
let
  traced =
    settings:
    with' {
      monitoring.tracing = {
        enable = true;
      }
      // settings;
    };
  sandbox = config: name: config.systemd.services.${name}.serviceConfig.IPAddressDeny or "none";
in
{
  testNothingIsTracedByDefault = {
    expr = (with' { }).services.aistack.settings ? tracing;
    expected = false;
  };
  testTracesNeedNothingElseOfMonitoring = {
    expr =
      let
        inherit (traced { sampleRatio = 0.5; }) services;
      in
      {
        inherit (services.aistack.settings) tracing;
        prometheus = services.prometheus.enable;
      };
    expected = {
      tracing = {
        endpoint = "http://127.0.0.1:4318";
        sample_ratio = 0.5;
      };
      prometheus = false;
    };
  };
  testHeadersOfTheCollectorAreASecret = {
    expr =
      let
        inherit (traced { headersFile = "/run/secrets/traces"; }) services;
      in
      [
        services.aistack.settings.tracing.headers_file
        services.aistack.credentials.tracing-headers
      ];
    expected = [
      "credential:tracing-headers"
      "/run/secrets/traces"
    ];
  };
  testServicesLeaveTheHostForACollectorElsewhere = {
    expr =
      let
        there = traced { endpoint = "https://traces.test"; };
        here = traced { };
      in
      map
        (
          config:
          map (sandbox config) [
            "aistack-aidb"
            "aistack-coordinator"
            "aistack-gc"
          ]
        )
        [
          here
          there
        ];
    expected = [
      [
        "any"
        "any"
        "any"
      ]
      [
        ""
        ""
        "any"
      ]
    ];
  };
}
