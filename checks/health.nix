# Sick parts are seen within seconds, the service goes on without them, and a blocked one is restarted.
{ lib, ... }:
{
  name = "aistack-health";

  nodes.machine =
    { pkgs, ... }:
    {
      services.aistack = {
        enable = true;
        nginx = {
          enable = true;
          domain = "kb.test";
        };
      };
      # This check waits for it.
      systemd.services.aistack-aidb.serviceConfig = {
        WatchdogSec = lib.mkForce 4;
        TimeoutAbortSec = 2;
      };
      environment.systemPackages = [ pkgs.curl ];
    };

  testScript =
    { nodes, ... }:
    let
      inherit (nodes.machine.services.aistack) aidb;
    in
    ''
      import json

      base = "http://127.0.0.1:${toString aidb.port}"
      authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""


      def ask(path):
          out = machine.succeed(f"curl -s -m 2 -w '\\n%{{http_code}}' {authorized} {base}{path}")
          text, _, status = out.rpartition("\n")
          return int(status), json.loads(text)


      def becomes(status, word):
          """Within two periods of 5 s, and some slack of this machine."""
          for _ in range(28):
              if ask("/health/ready") == (status, {"status": word}):
                  return
              machine.sleep(0.5)
          raise Exception(f"still {ask('/health/ready')}, not {word}")


      def status_text():
          return machine.get_unit_property("aistack-aidb.service", "StatusText")


      machine.wait_for_unit("aistack-aidb.service")

      with subtest("all is well, and says so"):
          becomes(200, "ok")
          t.assertEqual(ask("/health/startup"), (200, {"status": "ok"}))
          checks = ask("/health/detailed")[1]["checks"]
          t.assertEqual({check["status"] for check in checks.values()}, {"pass"})
          t.assertLessEqual({"postgres", "qdrant", "redis", "disk", "outbox", "certificate"}, set(checks))
          t.assertEqual(status_text(), "ok")

      with subtest("the whole host at a glance"):
          machine.wait_for_unit("nginx.service")
          machine.succeed("aistack health --wait 30 >&2")
          told = json.loads(machine.succeed("aistack health --json"))
          t.assertEqual(told["state"], "ok", told)
          kinds = {finding["kind"] for finding in told["findings"]}
          t.assertEqual(kinds, {"unit", "timer", "service", "job", "port", "certificate", "disk"})
          machine.succeed("systemctl start aistack-health.service")
          machine.wait_for_unit("aistack-health.timer")

      with subtest("the detailed answer needs a key"):
          code = machine.succeed(f"curl -s -o /dev/null -w '%{{http_code}}' {base}/health/detailed")
          t.assertEqual(code, "401")

      with subtest("without Qdrant documents are served, and search is refused at once"):
          machine.succeed("systemctl stop qdrant.service")
          becomes(200, "degraded")
          t.assertEqual(status_text(), "degraded: qdrant")
          # The coordinator finds out for itself.
          machine.wait_until_succeeds("(aistack health || true) | grep 'CRITICAL: 3 of'", timeout=60)
          exit_code, shown = machine.execute("aistack health")
          t.assertEqual(exit_code, 2, shown)
          t.assertRegex(shown, "critical +unit +qdrant.service +is not running")
          t.assertRegex(shown, "warning +service +aidb +degraded")
          machine.fail("systemctl start aistack-health.service")
          t.assertEqual(ask("/v1/collections")[0], 200)
          out = machine.succeed(
              f"curl -s -m 2 -o /dev/null -D - {authorized} {base}/v1/query "
              "--json '{\"query\": \"x\", \"collection\": \"nixos_docs\"}'"
          ).lower()
          t.assertIn("503", out.splitlines()[0])
          t.assertIn("retry-after:", out)
          machine.succeed("systemctl start qdrant.service")
          becomes(200, "ok")
          machine.succeed("aistack health --wait 30 && systemctl start aistack-health.service")

      with subtest("without Redis it is ready all the same"):
          machine.succeed("systemctl stop redis-aistack.service")
          becomes(200, "degraded")
          t.assertEqual(ask("/health/detailed")[1]["checks"]["redis"]["status"], "fail")
          machine.succeed("systemctl start redis-aistack.service")
          becomes(200, "ok")

      with subtest("a certificate that nobody serves is told, and AIDB is ready all the same"):
          machine.succeed("systemctl stop nginx.service")
          becomes(200, "degraded")
          t.assertEqual(status_text(), "degraded: certificate")
          machine.succeed("systemctl start nginx.service")
          becomes(200, "ok")

      with subtest("without PostgreSQL it is not ready, but lives: nothing restarts it"):
          before = machine.get_unit_property("aistack-aidb.service", "MainPID")
          machine.succeed("systemctl stop postgresql.service")
          becomes(503, "unavailable")
          t.assertEqual(ask("/health/live"), (200, {"status": "ok"}))
          t.assertEqual(ask("/health/startup")[0], 200)
          machine.sleep(6)
          t.assertEqual(machine.get_unit_property("aistack-aidb.service", "MainPID"), before)
          machine.succeed("systemctl start postgresql.target")
          becomes(200, "ok")
          metrics = machine.succeed(f"curl -sf {authorized} {base}/metrics")
          t.assertIn('dependency_health_status{dependency="postgres"} 1.0', metrics)
          t.assertIn('health_check_total{dependency="postgres",status="fail"}', metrics)

      with subtest("an event loop that does not run is restarted by the watchdog"):
          machine.succeed("systemctl kill --signal=SIGSTOP --kill-whom=main aistack-aidb.service")
          machine.wait_until_succeeds(
              f"pid=$(systemctl show -P MainPID aistack-aidb.service); test $pid != 0 -a $pid != {before}"
          )
          machine.wait_for_unit("aistack-aidb.service")
          becomes(200, "ok")
          journal = machine.succeed("journalctl -u aistack-aidb.service --no-pager")
          t.assertIn("atchdog", journal)
    '';
}
