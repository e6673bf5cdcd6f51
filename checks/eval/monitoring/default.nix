# Monitoring. What its tests look at is evaluated once, here.
{
  lib,
  self,
  complaints,
  evaluate,
  served,
  with',
  ...
}:
let
  monitored =
    settings: more:
    with' (
      more
      // {
        monitoring = {
          enable = true;
        }
        // settings;
      }
    );
  complains = option: settings: more: {
    expr = lib.elem "services.aistack.monitoring.${option}" (
      complaints (
        more
        // {
          monitoring = {
            enable = true;
          }
          // settings;
        }
      )
    );
    expected = true;
  };

  plain = monitored { } { };
  all = monitored { logs.enable = true; } (served { } // { aidb.instances = 2; });
  agent = monitored {
    prometheus = {
      agent = true;
      remoteWriteUrl = "https://prometheus.test/api/v1/write";
      remoteWriteTokenFile = "/run/secrets/token";
    };
  } { };
  elsewhere = {
    postgresql = {
      createLocally = false;
      url = "postgresql://db/x";
    };
    redis = {
      createLocally = false;
      url = "redis://redis.test";
    };
  };

  jobs = config: map (job: job.job_name) config.services.prometheus.scrapeConfigs;
  job =
    name: config:
    lib.findFirst (
      job: job.job_name == "aistack-${name}"
    ) (throw "no job ${name}") config.services.prometheus.scrapeConfigs;
  targets = name: config: lib.concatMap (one: one.targets) (job name config).static_configs;
  exporters =
    config:
    lib.filter (name: config.services.prometheus.exporters.${name}.enable) [
      "blackbox"
      "nginx"
      "node"
      "postgres"
      "redis"
    ];
  credentials = name: config: config.systemd.services.${name}.serviceConfig.LoadCredential;
  sources = config: config.services.grafana.provision.datasources.settings.datasources;
  alloy = config: config.environment.etc."alloy/aistack.alloy".text;
  count = part: text: lib.length (lib.splitString part text) - 1;
  given = {
    inherit
      lib
      self
      complaints
      evaluate
      served
      with'
      agent
      all
      alloy
      complains
      count
      credentials
      elsewhere
      exporters
      job
      jobs
      monitored
      plain
      sources
      targets
      ;
  };
in
import ./scraping.nix given
// import ./alerting.nix given
// import ./viewing.nix given
// import ./complaints.nix given
// import ./tracing.nix given
