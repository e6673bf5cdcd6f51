# Everything is watched: each target answers, each rule works, an alert becomes an issue, every panel of
# every dashboard has data, and nobody else sees or hears any of it.
{ lib, pkgs, ... }:
let
  domain = "kb.test";
  told = "known-to-few";
  # One alert that needs no patience. The real ones are tried by their own tests.
  alert = {
    alert = "QdrantIsAway";
    expr = ''up{job="aistack-qdrant"} == 0'';
    labels = {
      severity = "critical";
      part = "qdrant";
    };
    annotations.summary = "Qdrant is away";
  };
in
{
  name = "aistack-monitoring";

  nodes.machine = {
    services.aistack = {
      enable = true;
      nginx = {
        enable = true;
        inherit domain;
      };
      aidb.instances = 2;
      backups = {
        enable = true;
        repositories.local.path = "/var/backup/aistack";
      };
      monitoring = {
        enable = true;
        logs.enable = true;

        # Somebody who is told as well, at an address that is a secret.
        alertmanager = {
          credentialFiles.pager-url = "/etc/pager-url";
          settings = {
            receivers = [
              {
                name = "pager";
                webhook_configs = [
                  { url_file = "/run/credentials/alertmanager.service/pager-url"; }
                ];
              }
            ];
            route.routes = [
              {
                receiver = "pager";
                matchers = [ "severity=\"critical\"" ];
                group_wait = "1s";
              }
            ];
          };
        };
      };
      # This check asks more than a person would.
      settings.rate_limits.per_minute = 600;
    };
    services.prometheus = {
      globalConfig = {
        scrape_interval = "3s";
        evaluation_interval = "1s";
      };
      rules = [
        (builtins.toJSON {
          groups = [
            {
              name = "check";
              rules = [ alert ];
            }
          ];
        })
      ];
    };
    networking.hosts."127.0.0.1" = [ domain ];
    environment.etc = {
      handbook.source = ../docs;
      pager-url.text = "http://127.0.0.1:9999/${told}";
    };
    systemd.services.pager = {
      wantedBy = [ "multi-user.target" ];
      script = "exec ${lib.getExe pkgs.python3} ${./lib/pager.py} 9999 /run/paged";
    };
    environment.systemPackages = [ pkgs.curl ];
    virtualisation.memorySize = 4096;
  };

  testScript =
    { nodes, ... }:
    let
      node = nodes.machine;
      cfg = node.services.aistack;
      inherit (cfg.monitoring)
        alertmanager
        grafana
        logs
        mixin
        prometheus
        ;
      instance = "127.0.0.1:${toString (lib.head cfg.aidb.processes).port}";
      # On NixOS all of them run; where a platform lacks their programs, their units are masked.
      runs = name: node.systemd.services.${name}.enable;
      masked = lib.filter (name: !runs name) [
        "alloy"
        "grafana"
        "loki"
      ];
    in
    ''
      import json
      import re
      import shlex

      masked = ${builtins.toJSON masked}
      ca = "/var/lib/aistack-tls/ca.pem"
      keys = "/var/lib/aistack-secrets"
      admin = f"$(cat {keys}/admin-key)"


      def loud(message):
          machine.log(f"!!! NOT TRIED HERE: {message}")


      def ask(path, expression=None, of="${prometheus.endpoint}"):
          """What Prometheus' API says."""
          data = f"--data-urlencode query={shlex.quote(expression)}" if expression else ""
          told = json.loads(machine.succeed(f"curl -sS -G {data} http://{of}/api/v1/{path}"))
          t.assertEqual(told["status"], "success", f"{path} {expression}: {told}")
          return told["data"]


      def series(expression):
          return ask("query", expression)["result"]


      def eventually(what, of, seconds=60):
          """The first true value of a function; for Prometheus looks only every few seconds."""
          for _ in range(2 * seconds):
              if found := of():
                  return found
              machine.sleep(0.5)
          raise Exception(f"not within {seconds} s: {what}")


      def alerts(**labels):
          """The alerts that Alertmanager knows, with these labels."""
          told = json.loads(machine.succeed("curl -sSf http://${alertmanager.endpoint}/api/v2/alerts"))
          return [a for a in told if labels.items() <= a["labels"].items()]


      def issues():
          told = machine.succeed("aistack issues list --status any --limit 500 --json")
          return json.loads(told)["issues"]


      def status(path, key):
          return machine.succeed(
              f"curl -s -o /dev/null -w '%{{http_code}}' -H \"X-API-Key: {key}\" http://${instance}{path}"
          )


      def use():
          """Something of all that is watched."""
          machine.succeed("aistack ingest --collection nixos_docs /etc/handbook/how-to >&2")
          web = f"curl -sSf --cacert {ca} https://${domain}"
          as_json = f"-H \"X-API-Key: {admin}\" --json"
          query = json.dumps({"query": "restore a backup", "collection": "nixos_docs"})
          question = {"question": "How do I restore a backup?"}
          interaction = json.dumps({**question, "response": "aistack restore", "outcome": "success"})
          wanted = json.dumps({**question, "collections": ["nixos_docs"], "budget_tokens": 400})
          for _ in range(5):
              machine.succeed(f"{web}/v1/query {as_json} '{query}'")
              machine.succeed(f"{web}/coordinator/v1/interactions {as_json} '{interaction}'")
              machine.succeed(f"{web}/coordinator/v1/augment {as_json} '{wanted}'")
          forged = "aistack_" + "0" * 12 + "_" + "a" * 43
          t.assertEqual(status("/v1/collections", forged), "401")
          t.assertEqual(status("/v1/collections/none", admin), "404")
          machine.succeed("aistack issues record 'the tape is full' --component tape --severity high")
          machine.succeed("systemctl start aistack-gc.service aistack-backup.service")


      if masked:
          loud(f"the programs of {', '.join(masked)}; only that their units and files are made")

      machine.wait_for_unit("aistack.target")
      for name in ("prometheus", "alertmanager"):
          machine.wait_for_unit(f"{name}.service")
      machine.wait_until_succeeds(f"curl -sf --cacert {ca} https://${domain}/health/ready")

      with subtest("all of it is used"):
          use()

      with subtest("every target is scraped"):
          expected = {
              "aistack-" + name
              for name in (
                  "aidb", "coordinator", "qdrant", "postgres", "redis", "nginx", "balancer", "node",
                  "blackbox", "prometheus", "alertmanager", "grafana", "loki", "alloy",
              )
              if name not in masked
          }


          def targets():
              """Job and instance of what is scraped here -> why it fails, or an empty string."""
              found = ask("targets")["activeTargets"]
              return {
                  (one["labels"]["job"], one["labels"]["instance"]): one["lastError"]
                  for one in found
                  if one["labels"]["job"].removeprefix("aistack-") not in masked
              }


          try:
              eventually("all targets are up", lambda: not any(targets().values()) and len(series("up == 1")) >= len(targets()))
          finally:
              machine.log(json.dumps([f"{j} {i}: {error}" for (j, i), error in targets().items()], indent=1))
          t.assertEqual({job for job, _ in targets()}, expected)
          t.assertEqual(len([job for job, _ in targets() if job == "aistack-aidb"]), 2)

      with subtest("what exporters ask, answers them"):
          for name in ("pg_up", "redis_up", "nginx_up", "probe_success"):
              found = eventually(name, lambda name=name: series(name))
              t.assertEqual({one["value"][1] for one in found}, {"1"}, name)
          # A scrape that a busy machine has missed comes again.
          for expression in (
              'node_systemd_unit_state{name="aistack-aidb-1.service",state="active"} == 1',
              'node_systemd_service_restart_total{name="qdrant.service"}',
              'probe_ssl_earliest_cert_expiry{instance="https://${domain}/health/ready"} - time() > 86400',
          ):
              eventually(expression, lambda expression=expression: series(expression))
          eventually("four probes", lambda: len(series('probe_success{job="aistack-blackbox"}')) == 4)

      with subtest("every rule is loaded, and works"):
          # A new Prometheus works each group out within its interval.
          written = json.loads(machine.succeed("cat ${mixin}/rules.json"))["groups"]
          wanted = {group["name"] for group in written} | {"check"}


          def worked_out():
              groups = ask("rules")["groups"]
              done = all(rule["health"] != "unknown" for group in groups for rule in group["rules"])
              return groups if done else None


          groups = eventually("all rules are worked out", worked_out, 120)
          t.assertEqual({group["name"] for group in groups}, wanted)
          t.assertEqual(
              [(rule["name"], rule["lastError"]) for group in groups for rule in group["rules"] if rule["health"] != "ok"],
              [],
          )
          rules = sum(len(group["rules"]) for group in groups)
          t.assertEqual(rules, 1 + sum(len(group["rules"]) for group in written))
          machine.log(f"{rules} rules")

      with subtest("the keys open what they are for, and nothing else"):
          for name, path in (("prometheus", "/metrics"), ("alertmanager", "/v1/issues/alertmanager")):
              key = f"$(cat {keys}/{name}-key)"
              t.assertEqual(status("/v1/collections", key), "403")
              t.assertEqual(status("/v1/issues", key), "403")
              t.assertEqual(status("/metrics", key), "200" if name == "prometheus" else "403")

      with subtest("PostgreSQL's exporter may read statistics alone"):
          psql = "runuser -u postgres-exporter -- psql -d aistack -Atc"
          t.assertEqual(machine.succeed(f"{psql} \"select rolsuper from pg_roles where rolname = current_user\"").strip(), "f")
          t.assertIn("permission denied", machine.fail(f"{psql} 'select * from api_keys' 2>&1"))

      with subtest("nothing listens beyond loopback but nginx"):
          listening = machine.succeed("ss --listening --tcp --udp --numeric --no-header | awk '{print $1, $5}'")
          beyond = {
              line.rsplit(":", 1)[1]
              for line in listening.splitlines()
              if not line.split()[1].startswith(("127.", "[::1]", "[::ffff:127."))
          }
          t.assertEqual(beyond, {"80", "443"}, listening)
          t.assertEqual(
              machine.succeed(f"curl -s -o /dev/null -w '%{{http_code}}' --cacert {ca} https://${domain}/status").strip(), "401"
          )

      with subtest("an alert fires, is told, becomes an issue, and ends"):
          # By now it would have fired, had it anything to fire for.
          t.assertEqual(alerts(alertname="QdrantIsAway"), [])
          machine.succeed("systemctl stop qdrant.service")
          eventually("the alert is at Alertmanager", lambda: alerts(alertname="QdrantIsAway"))


          def told_of():
              return [one for one in issues() if "QdrantIsAway" in one["title"]]


          issue = eventually("the alert is an issue", told_of)[0]
          t.assertEqual((issue["severity"], issue["component"]), ("critical", "qdrant"), issue)
          machine.wait_until_succeeds("grep -E '^/${told} .*\"status\":\"firing\".*QdrantIsAway' /run/paged", timeout=30)
          machine.succeed("systemctl start qdrant.service")
          eventually("the alert has ended", lambda: not series('ALERTS{alertname="QdrantIsAway"}'))
          eventually("Alertmanager knows that", lambda: not alerts(alertname="QdrantIsAway"), 360)
          t.assertEqual(told_of()[0]["status"], "open")

      with subtest("what follows from another alert is not told"):
          amtool = "amtool alert add"  # as runbooks have it: it knows whom to ask
          machine.succeed(
              f"{amtool} alertname=TargetDown job=one instance=one severity=warning part=one",
              f"{amtool} alertname=OneIsSlow job=one instance=one severity=critical part=one",
              f"{amtool} alertname=TwoIsFull job=two severity=critical part=two mountpoint=/",
              f"{amtool} alertname=TwoIsLow job=two severity=warning part=two mountpoint=/",
              f"{amtool} alertname=TwoIsLow job=two severity=warning part=two mountpoint=/boot",
          )


          def left_out():
              """Alert and mount point -> whether it is left out."""
              added = [a for a in alerts() if a["labels"].get("job") in ("one", "two")]
              return {
                  (a["labels"]["alertname"], a["labels"].get("mountpoint")): bool(a["status"]["inhibitedBy"])
                  for a in added
              }


          eventually("two are left out", lambda: sum(left_out().values()) == 2)
          t.assertEqual(
              left_out(),
              {
                  ("TargetDown", None): False,
                  ("OneIsSlow", None): True,
                  ("TwoIsFull", "/"): False,
                  ("TwoIsLow", "/"): True,
                  ("TwoIsLow", "/boot"): False,
              },
          )

      with subtest("every panel of every dashboard has data"):
          # Qdrant was away a moment ago; whoever asks it looks every few seconds whether it is back.
          sick = 'dependency_health_status{dependency="qdrant"} < 1'
          eventually("all know that Qdrant is back", lambda: not series(sick))
          # Rates need a second look.
          use()
          for job in ("backup-verify", "backup-drill", "tls-renew"):
              machine.succeed(f"systemctl start aistack-{job}.service")
          shown = [
              one
              for one in json.loads(machine.succeed("aistack mixin queries --json"))
              if one["kind"] == "prometheus"
          ]
          t.assertGreater(len(shown), 80)
          excused = {(one["dashboard"], one["panel"]): one["without_data"] for one in shown if one["without_data"]}
          t.assertLessEqual(len(excused), 5, excused)
          # What jobs leave in the database is read every ten seconds.
          empty = [one for one in shown if not one["without_data"]]
          for _ in range(6):
              empty = [one for one in empty if not series(one["expr"])]
              if not empty:
                  break
              machine.sleep(5)
          machine.log(f"{len(shown)} queries, {len(empty)} of them without data, {len(excused)} panels excused: {excused}")
          t.assertFalse(empty, json.dumps(empty, indent=1))

      with subtest("every rule asks for series that are there"):
          unseen = {
              "aistack_job_last_failure_timestamp_seconds": "no job has failed",
              "aistack:http_route_errors:ratio_rate15m": "no route has failed",
              "loki_discarded_samples_total": "Loki has taken every line",
              "pg_replication_slots_active": "there is no replication slot",
              "pg_replication_slots_pg_wal_lsn_diff": "there is no replication slot",
              "node_timex_maxerror_seconds": "a container may not look at its clock",
              "node_timex_sync_status": "a container may not look at its clock",
              "collection_dead_replicas": "what stands in for Qdrant does not tell it",
              "collection_update_queue_length": "what stands in for Qdrant does not tell it",
              "process_open_mmaps": "what stands in for Qdrant does not tell it",
              "system_max_mmaps": "what stands in for Qdrant does not tell it",
          }
          words = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


          def names(expr):
              """Of metrics: what is left without texts, selectors, spans, lists of labels and functions."""
              bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", re.sub(r'"[^"]*"', '""', expr))
              bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)|\boffset\s+\w+|\b\d[\w.]*", " ", bare)
              return set(re.findall(r"([A-Za-z_:][\w:]*)(?!\w|:|\s*\()", bare)) - words


          asked = {name for group in written for rule in group["rules"] for name in names(rule["expr"])}
          t.assertGreater(len(asked), 150)
          asked -= {name for name in asked if name.partition("_")[0] in masked}
          missing = asked - unseen.keys() - set(ask("label/__name__/values"))
          machine.log(f"{len(asked)} metrics, {len(missing)} of them without series")
          t.assertEqual(missing, set())

      with subtest("the runbooks are on the host"):
          for document in ("how-to/monitor.md", "reference/http-api.md"):
              machine.succeed(f"test -s /run/current-system/sw/share/doc/aistack/{document}")
          notes = [rule["annotations"] for group in written for rule in group["rules"] if "alert" in rule]
          pages = {note["runbook_url"].partition("#")[0] for note in notes}
          t.assertGreater(len(pages), 10)
          for page in sorted(pages):
              machine.succeed(f"test -s {page.removeprefix('file://')}")
    ''
    + lib.optionalString (runs "grafana") ''

      with subtest("Grafana has every dashboard, and reaches its sources"):
          machine.wait_for_unit("grafana.service")
          password = "$(cat /var/lib/aistack-grafana-secrets/admin-password)"
          web = f"curl -sSf -u \"admin:{password}\" http://${grafana.endpoint}"
          machine.wait_until_succeeds(f"{web}/api/health")
          found = json.loads(machine.succeed(f"{web}/api/search?type=dash-db"))
          files = machine.succeed("ls ${mixin}/dashboards").split()
          t.assertEqual({one["uid"] for one in found}, {name.removesuffix(".json") for name in files})
          for source in ("prometheus", "loki"):
              machine.succeed(f"{web}/api/datasources/uid/aistack-{source}/health | grep OK")
          t.assertEqual(
              machine.succeed("curl -s -o /dev/null -w '%{http_code}' http://${grafana.endpoint}/api/search"), "401"
          )
    ''
    + lib.optionalString (runs "loki" && runs "alloy") ''

      with subtest("the journal can be searched"):
          eventually(
              "AIDB's lines are in Loki",
              lambda: json.loads(
                  machine.succeed(
                      "curl -sSfG http://${logs.endpoint}/loki/api/v1/query_range"
                      " --data-urlencode 'query={unit=\"aistack-aidb-1.service\",level=\"info\"}'"
                  )
              )["data"]["result"],
          )
          labels = json.loads(machine.succeed("curl -sSf http://${logs.endpoint}/loki/api/v1/labels"))
          t.assertLessEqual(set(labels["data"]), {"host", "job", "level", "service_name", "unit"})
    ''
    + ''

      if masked:
          loud(f"the programs of {', '.join(masked)}")
    '';
}
