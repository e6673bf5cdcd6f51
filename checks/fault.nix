# The whole stack in use, while its parts are killed, paused, cut off, filled up and set wrong, in an
# order that a seed gives. What was acknowledged is there at the end, and everything was told.
#
# By itself it takes a few faults, of each kind and for each part one. AISTACK_FAULT_SEED and
# AISTACK_FAULT_SECONDS in the environment of the test's driver ask for other ones, and for all of them,
# again and again for so long: see docs/explanation/fault-injection.md.
{ lib, pkgs, ... }:
let
  domain = "kb.test";
  python = pkgs.python3.withPackages (ps: [ ps.httpx ]);
  database = "/var/lib/postgresql";
  clock = "/run/aistack-fault/clock";
in
{
  name = "aistack-fault";

  # Each fault lasts until it has been told, which a slow machine takes its time for.
  globalTimeout = lib.mkForce (30 * 60);

  nodes.machine =
    { config, ... }:
    let
      cfg = config.services.aistack;
      # The expressions as they are shipped; what they wait for minutes, they wait for a second here.
      hurried = pkgs.runCommand "aistack-hurried-rules.json" { nativeBuildInputs = [ pkgs.jq ]; } ''
        jq '(.groups[].rules[] | select(has("for"))).for = "1s"' \
          ${cfg.monitoring.mixin}/rules.json > $out
      '';
      # Our services have a clock that can be set; those of the stores and of monitoring are right.
      settable.environment = {
        LD_PRELOAD = "${pkgs.libfaketime}/lib/libfaketime.so.1";
        FAKETIME_TIMESTAMP_FILE = clock;
        FAKETIME_CACHE_DURATION = "1";
        FAKETIME_DONT_FAKE_MONOTONIC = "1";
      };
      told = cfg.monitoring.alertmanager.settings;
    in
    {
      services.aistack = {
        enable = true;
        aidb.instances = 2;
        nginx = {
          enable = true;
          inherit domain;
        };
        backups = {
          enable = true;
          repositories.local.path = "/var/backup/aistack";
        };
        monitoring = {
          enable = true;
          # Nobody looks.
          grafana.enable = false;
        };
        settings = {
          # The load is one client with one key.
          rate_limits.enabled = false;
          health.disk_paths = [ database ];
        };
      };

      services.prometheus = {
        globalConfig = {
          scrape_interval = "3s";
          scrape_timeout = "3s";
          evaluation_interval = "1s";
        };
        ruleFiles = lib.mkForce [ hurried ];
        alertmanager.configuration = lib.mkForce (
          told
          // {
            route = told.route // {
              # The same alert again within minutes is told again, too.
              routes = map (
                route:
                route
                // {
                  group_wait = "1s";
                  group_interval = "1s";
                }
              ) told.route.routes;
            };
          }
        );
      };

      # A disk of its own, small enough to be filled.
      services.postgresql.settings = {
        min_wal_size = "32MB";
        max_wal_size = "64MB";
      };
      systemd.mounts = [
        {
          what = "tmpfs";
          where = database;
          type = "tmpfs";
          options = "size=512M";
        }
      ];

      systemd.tmpfiles.settings.aistack-fault = {
        "/run/aistack-fault".d.mode = "0755";
        ${clock}.f = {
          mode = "0644";
          argument = "+0";
        };
      };
      systemd.services = {
        aistack-aidb-1 = settable;
        aistack-aidb-2 = settable;
        aistack-coordinator = settable;
      };

      networking.hosts."127.0.0.1" = [ domain ];
      environment.systemPackages = [ pkgs.nftables ];
      virtualisation = {
        cores = 2;
        memorySize = 4096;
      };
    };

  testScript =
    { nodes, ... }:
    let
      cfg = nodes.machine.services.aistack;
      host = cfg.settings.host;
      config = (pkgs.formats.json { }).generate "fault.json" {
        inherit domain;
        inherit (host) units;
        ca = "/var/lib/aistack-tls/ca.pem";
        key_file = "/var/lib/aistack-secrets/admin-key";
        prometheus = cfg.monitoring.prometheus.endpoint;
        alertmanager = cfg.monitoring.alertmanager.endpoint;
        services = lib.attrValues host.instances ++ [ host.services.coordinator ];
        ports = lib.listToAttrs (map (one: lib.nameValuePair one.name one.port) cfg.aidb.processes) // {
          coordinator = cfg.coordinator.port;
          qdrant = nodes.machine.services.qdrant.settings.service.http_port;
        };
        qdrant = cfg.settings.qdrant.url;
        qdrant_key_file = "/var/lib/aistack-qdrant-key/key";
      };
    in
    ''
      import os

      seed = int(os.environ.get("AISTACK_FAULT_SEED", "1"))
      seconds = int(os.environ.get("AISTACK_FAULT_SECONDS", "0"))
      print(f"seed {seed}; AISTACK_FAULT_SEED={seed} AISTACK_FAULT_SECONDS={seconds} asks for this run again")

      machine.wait_for_unit("aistack.target")
      machine.wait_for_unit("prometheus.service")
      # WAL has somewhere to go from now on.
      machine.succeed("systemctl start aistack-backup.service")

      with subtest("faults, under load"):
          # As a unit, so that what happens is told in the journal while it does.
          machine.succeed(
              "systemd-run --quiet --wait --unit=fault-check --setenv=PATH=$PATH "
              f"${lib.getExe python} ${./lib/fault} ${config} {seed} {seconds}"
          )

      with subtest("what looks after the stack works, too"):
          machine.succeed("systemctl start aistack-gc.service aistack-backup.service aistack-health.service")
          t.assertEqual(machine.succeed("systemctl list-units --failed --no-legend --plain"), "")
    '';
}
