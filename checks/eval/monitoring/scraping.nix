# Prometheus and what it asks: on loopback, with the least rights, beside what a host has of its own.
{
  agent,
  all,
  alloy,
  credentials,
  elsewhere,
  evaluate,
  exporters,
  job,
  jobs,
  lib,
  monitored,
  plain,
  self,
  targets,
  with',
  ...
}:
{
  testNoMonitoringByDefault =
    let
      inherit (with' { }) services;
    in
    {
      expr = {
        inherit (services.aistack) hostKeys;
        servers = map (name: services.${name}.enable) [
          "alloy"
          "grafana"
          "loki"
          "prometheus"
        ];
      };
      expected = {
        hostKeys = { };
        servers = [
          false
          false
          false
          false
        ];
      };
    };

  testMonitoringListensOnLoopback = {
    expr =
      let
        inherit (all.services) grafana loki prometheus;
      in
      lib.unique (
        [
          prometheus.listenAddress
          prometheus.alertmanager.listenAddress
          grafana.settings.server.http_addr
          loki.configuration.server.http_listen_address
          loki.configuration.server.grpc_listen_address
        ]
        ++ map (name: prometheus.exporters.${name}.listenAddress) (exporters all)
        ++ map (listen: listen.addr) all.services.nginx.virtualHosts.aistack-status.listen
      );
    expected = [ "127.0.0.1" ];
  };
  testJobsOfAPlainHost = {
    expr = lib.sort lib.lessThan (jobs plain);
    expected = [
      "aistack-aidb"
      "aistack-alertmanager"
      "aistack-blackbox"
      "aistack-coordinator"
      "aistack-grafana"
      "aistack-node"
      "aistack-postgres"
      "aistack-prometheus"
      "aistack-qdrant"
      "aistack-redis"
    ];
  };
  testJobsOfAllThatThereIs = {
    expr = lib.subtractLists (jobs plain) (jobs all);
    expected = [
      "aistack-balancer"
      "aistack-nginx"
      "aistack-loki"
      "aistack-alloy"
    ];
  };
  testEachInstanceIsAsked = {
    expr = map (config: targets "aidb" config) [
      plain
      all
    ];
    expected = [
      [ "127.0.0.1:8091" ]
      [
        "127.0.0.1:8101"
        "127.0.0.1:8102"
      ]
    ];
  };
  testProbesSeeWhatClientsSee = {
    expr = map (targets "blackbox") [
      plain
      all
    ];
    expected = [
      [
        "http://127.0.0.1:8091/health/ready"
        "http://127.0.0.1:8092/health/ready"
      ]
      [
        "https://kb.test/health/ready"
        "kb.test:80"
        "kb.test:443"
        "https://kb.test/coordinator/health/ready"
      ]
    ];
  };
  testExportersOfWhatRunsHere = {
    expr = map exporters [
      plain
      all
      (monitored { } elsewhere)
    ];
    expected = [
      [
        "blackbox"
        "node"
        "postgres"
        "redis"
      ]
      [
        "blackbox"
        "nginx"
        "node"
        "postgres"
        "redis"
      ]
      [
        "blackbox"
        "node"
      ]
    ];
  };
  testAQdrantElsewhereIsAskedThere = {
    expr =
      let
        config = monitored { } {
          qdrant = {
            createLocally = false;
            url = "https://qdrant.test:6333";
            apiKeyFile = "/run/secrets/qdrant";
          };
        };
      in
      {
        inherit (job "qdrant" config) scheme authorization;
        targets = targets "qdrant" config;
        given = lib.elem "qdrant-api-key:/run/secrets/qdrant" (credentials "prometheus" config);
      };
    expected = {
      scheme = "https";
      authorization.credentials_file = "/run/credentials/prometheus.service/qdrant-api-key";
      targets = [ "qdrant.test:6333" ];
      given = true;
    };
  };
  testKeysOpenTheLeast = {
    expr = lib.mapAttrs (_: key: key.scope) plain.services.aistack.hostKeys;
    expected = {
      alertmanager = "issues";
      prometheus = "metrics";
    };
  };
  testKeysAreHandedOverBySystemd = {
    expr = map (name: credentials name plain) [
      "prometheus"
      "alertmanager"
    ];
    expected = [
      [
        "aistack-key:/var/lib/aistack-secrets/prometheus-key"
        "qdrant-api-key:/var/lib/aistack-qdrant-key/key"
      ]
      [ "aistack-key:/var/lib/aistack-secrets/alertmanager-key" ]
    ];
  };
  testPostgresIsAskedByARoleThatOnlyLooks = {
    expr = {
      inherit (plain.services.prometheus.exporters.postgres) runAsLocalSuperUser;
      roles = map (user: {
        inherit (user) name;
        clauses = lib.filterAttrs (_: value: value != null) user.ensureClauses;
      }) (lib.filter (user: user.name != "aistack") plain.services.postgresql.ensureUsers);
    };
    expected = {
      runAsLocalSuperUser = false;
      roles = [
        {
          name = "postgres-exporter";
          clauses = { };
        }
      ];
    };
  };
  testAHostsOwnJobsStay = {
    expr =
      let
        config = evaluate [
          self.nixosModules.default
          {
            services.aistack = {
              enable = true;
              monitoring.enable = true;
            };
            services.prometheus = {
              scrapeConfigs = [ { job_name = "mine"; } ];
              globalConfig.scrape_interval = "1m";
            };
          }
        ];
      in
      {
        mine = lib.elem "mine" (jobs config);
        inherit (config.services.prometheus.globalConfig) scrape_interval evaluation_interval;
      };
    expected = {
      mine = true;
      scrape_interval = "1m";
      evaluation_interval = "15s";
    };
  };
  # It is not for this host to know what others' rules are.
  testAnAgentOnlySends = {
    expr = {
      inherit (agent.services.prometheus)
        alertmanagers
        enableAgentMode
        extraFlags
        retentionTime
        ruleFiles
        ;
      inherit (agent.services.prometheus.alertmanager) enable;
      grafana = agent.services.grafana.enable;
      to = map (one: one.bearer_token_file) agent.services.prometheus.remoteWrite;
      given = lib.elem "remote-write-token:/run/secrets/token" (credentials "prometheus" agent);
    };
    expected = {
      alertmanagers = [ ];
      enableAgentMode = true;
      extraFlags = [ ];
      retentionTime = null;
      ruleFiles = [ ];
      enable = false;
      grafana = false;
      to = [ "/run/credentials/prometheus.service/remote-write-token" ];
      given = true;
    };
  };
  testAHostThatOnlyExports = {
    expr =
      let
        config = monitored { prometheus.enable = false; } { };
      in
      {
        servers = map (server: server.enable) [
          config.services.prometheus
          config.services.prometheus.alertmanager
          config.services.grafana
        ];
        exporters = lib.length (exporters config);
      };
    expected = {
      servers = [
        false
        false
        false
      ];
      exporters = 4;
    };
  };
}
