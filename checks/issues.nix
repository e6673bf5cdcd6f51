# What goes wrong becomes an issue: failed units with their journal, regressions, a store that is away.
{ lib, pkgs, ... }:
{
  name = "aistack-issues";

  nodes.machine = {
    services.aistack = {
      enable = true;
      issues.units = lib.mkForce [ "stranger" ];
      # This check asks more than a person would.
      settings.rate_limits.per_minute = 600;
    };
    environment.systemPackages = [ pkgs.curl ];

    systemd.services = {
      # Ours by its name.
      aistack-broken = {
        script = ''
          echo "about to fail, password=hunter2-of-the-unit"
          exit 3
        '';
        serviceConfig.Type = "oneshot";
      };
      aistack-looping = {
        script = "exit 5";
        startLimitBurst = 4;
        startLimitIntervalSec = 600;
        serviceConfig = {
          Restart = "on-failure";
          RestartSec = "1s";
        };
      };
      # Named in the option.
      stranger = {
        script = "kill -SEGV $$";
        serviceConfig.Type = "oneshot";
      };
      # Not named anywhere.
      unknown = {
        script = "exit 1";
        serviceConfig.Type = "oneshot";
      };
    };
  };

  testScript =
    { nodes, ... }:
    let
      inherit (nodes.machine.services.aistack) aidb;
    in
    import ./lib/metrics.nix
    + ''
      import json

      base = "http://127.0.0.1:${toString aidb.port}"
      authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""


      def issues():
          """All issues by their component."""
          told = machine.succeed("aistack issues list --status any --limit 500 --json")
          return {issue["component"]: issue for issue in json.loads(told)["issues"]}


      def show(component):
          number = issues()[component]["id"]
          return json.loads(machine.succeed(f"aistack issues show {number} --json"))


      def counted(component, least=1):
          """The issue, when it was seen so often, and its unit's next failure would be another event."""
          for _ in range(60):
              found = issues().get(component)
              if found and found["count"] >= least:
                  recording = "systemctl list-units --state=activating --no-legend 'aistack-issue@*'"
                  machine.wait_until_succeeds(f"test -z \"$({recording})\"")
                  return found
              machine.sleep(0.5)
          raise Exception(f"no {least} events of {component}: {issues()}")


      machine.wait_for_unit("aistack-aidb.service")

      with subtest("a host on which nothing failed has no issues"):
          t.assertEqual(issues(), {})

      with subtest("a failed unit is an issue, with its status and the end of its journal"):
          machine.succeed("mkdir -p /nix/var/nix/profiles")
          machine.succeed("ln -sfn ${pkgs.coreutils} /nix/var/nix/profiles/system-7-link")
          machine.succeed("ln -sfn system-7-link /nix/var/nix/profiles/system")
          machine.fail("systemctl start aistack-broken.service")
          first = counted("aistack-broken")
          t.assertEqual(first["title"], "aistack-broken.service failed: exit-code (exited 3)")
          t.assertEqual((first["severity"], first["status"]), ("high", "open"))
          newest = show("aistack-broken")["occurrences"][0]
          t.assertIn("about to fail", newest["stack"])
          t.assertEqual(newest["context"]["exit_status"], "3")
          t.assertEqual((newest["host"], newest["generation"]), ("machine", 7))

      with subtest("its secrets are in the journal alone"):
          t.assertIn("password=[redacted]", newest["stack"])
          machine.succeed("journalctl -u aistack-broken | grep hunter2")
          machine.fail("runuser -u postgres -- pg_dump aistack | grep hunter2")

      with subtest("the same again is the same issue"):
          machine.fail("systemctl start aistack-broken.service")
          t.assertEqual(counted("aistack-broken", 2)["id"], first["id"])

      with subtest("resolved, it is gone; failing again, it is a regression"):
          machine.succeed(f"aistack issues resolve {first['id']} -m 'a new cable'")
          t.assertNotIn("aistack-broken", machine.succeed("aistack issues list"))
          machine.fail("systemctl start aistack-broken.service")
          back = counted("aistack-broken", 3)
          t.assertEqual((back["status"], back["regressions"]), ("open", 1))
          t.assertIn("came back", machine.succeed("aistack issues list"))
          t.assertIn("aistack-broken", machine.succeed("aistack issues suggest"))

      with subtest("mended in a later generation, this one's failures are none to reopen for"):
          machine.succeed(f"aistack issues resolve {first['id']} --in-generation 8")
          machine.fail("systemctl start aistack-broken.service")
          t.assertEqual(counted("aistack-broken", 4)["status"], "resolved")
          machine.succeed("ln -sfn ${pkgs.coreutils} /nix/var/nix/profiles/system-8-link")
          machine.succeed("ln -sfn system-8-link /nix/var/nix/profiles/system")
          machine.fail("systemctl start aistack-broken.service")
          back = counted("aistack-broken", 5)
          t.assertEqual((back["status"], back["last_generation"]), ("open", 8))

      with subtest("units of others where they are named, and only there"):
          machine.fail("systemctl start unknown.service")
          machine.fail("systemctl start stranger.service")
          t.assertIn("SEGV", counted("stranger")["title"])
          t.assertNotIn("unknown", issues())

      with subtest("a restart loop is one issue, and the handler does not start itself"):
          machine.succeed("systemctl start aistack-looping.service || true")
          machine.wait_until_succeeds("systemctl is-failed aistack-looping.service")
          counted("aistack-looping")
          t.assertEqual(len([name for name in issues() if "looping" in name]), 1)
          t.assertEqual([name for name in issues() if "aistack-issue" in name], [])
          told = machine.get_unit_property("aistack-issue@aistack-broken.service.service", "OnFailure")
          t.assertEqual(told, "")
          told = machine.get_unit_property("aistack-gc.service", "OnFailure")
          t.assertEqual(told, "aistack-issue@aistack-gc.service.service")

      with subtest("while PostgreSQL is away, failures wait, and come in when it is back"):
          machine.succeed("systemctl stop postgresql.service")
          machine.fail("systemctl start aistack-broken.service")
          machine.wait_until_succeeds("test -n \"$(find /var/lib/aistack-issues -size +0 -name '*[0-9a-f].segment' -o -size +0 -name current)\"")
          machine.wait_until_succeeds("test -z \"$(systemctl list-units --state=activating --no-legend 'aistack-issue@*')\"")
          machine.succeed("systemctl start postgresql.target")
          machine.succeed("systemctl start postgresql.service")
          machine.wait_for_unit("postgresql.service")
          counted("aistack-broken", 6)

      with subtest("metrics tell of it"):
          machine.wait_for_unit("aistack-aidb.service")
          machine.wait_until_succeeds(f"curl -sf {base}/health/ready")
          active = "aidb_active_issues{category=\"reliability\",severity=\"high\"}"
          found = metrics(base, lambda found: found.get(active, 0) >= 2 and found.get("aistack_issues_regressed_total") == 2)
          t.assertEqual(found["aistack_issues_spool_bytes"], 0)

      with subtest("the spool is for the services alone"):
          t.assertEqual(machine.succeed("stat -c %U:%a /var/lib/aistack-issues").strip(), "aistack:700")

      with subtest("what reports needs no more than its own scope"):
          key = machine.succeed("aistack keys create reporter --scope issues").strip()
          report = "--json '{\"message\": \"the printer burns\", \"component\": \"printer\"}'"
          machine.succeed(f"curl -sf {report} -H 'X-API-Key: {key}' {base}/v1/issues")
          counted("printer")
          refused = machine.succeed(
              f"curl -s -o /dev/null -w '%{{http_code}}' -H 'X-API-Key: {key}' {base}/v1/issues"
          )
          t.assertEqual(refused, "403")
    '';
}
