# Three instances under load: restarted one after another, killed, paused, and changed by a switch.
{ lib, pkgs, ... }:
let
  domain = "kb.test";
  keyFile = "/var/lib/aistack-secrets/admin-key";
  load = import ./lib/load.nix { inherit lib pkgs; };
in
{
  name = "aistack-rolling";

  nodes.machine = {
    services.aistack = {
      enable = true;
      aidb = {
        instances = 3;
        # The least that is allowed.
        drainSeconds = 3;
      };
      nginx = {
        enable = true;
        inherit domain;
      };
      # The load is one client with one key.
      settings.rate_limits.enabled = false;
    };
    # It would look in the midst of a switch, and tell of the one instance that starts.
    systemd.timers.aistack-health.wantedBy = lib.mkForce [ ];
    networking.hosts."127.0.0.1" = [ domain ];
    environment.systemPackages = [
      pkgs.curl
      pkgs.jq
    ];

    specialisation = {
      upgrade.configuration.services.aistack.package = lib.mkForce (
        (pkgs.callPackage ../pkgs/aistack-py/package.nix { }).overrideAttrs { RELEASE = "next"; }
      );
      fewer.configuration.services.aistack.aidb.instances = lib.mkForce 2;
      single.configuration.services.aistack.aidb.instances = lib.mkForce 1;
      broken.configuration.systemd.services.aistack-aidb-1.serviceConfig.ExecStart =
        lib.mkForce "${pkgs.coreutils}/bin/false";
    };
  };

  testScript =
    { nodes, ... }:
    let
      cfg = nodes.machine.services.aistack;
      ours = lib.filter (lib.hasPrefix "aistack") (lib.attrNames nodes.machine.systemd.services);
    in
    load.functions {
      base = "https://${domain}";
      inherit keyFile;
    }
    + ''
      import re
      import time

      system = "${nodes.machine.system.build.toplevel}"
      metrics_port = ${toString cfg.aidb.instancesPort}
      endpoint = "http://${cfg.aidb.endpoint}"
      key_file = "${keyFile}"
      authorized = f"-H \"Authorization: Bearer $(cat {key_file})\""
      names = [f"aidb-{number}" for number in (1, 2, 3)]


      def unit(name):
          return f"aistack-{name}.service"


      def starts():
          """When each instance was started, in seconds since the boot."""
          show = "systemctl show -P ExecMainStartTimestampMonotonic"
          return {name: int(machine.succeed(f"{show} {unit(name)}")) / 1e6 for name in names}


      def in_use():
          """The instances to which the balancer sends requests."""
          text = machine.succeed(f"curl -s 'http://127.0.0.1:{metrics_port}/metrics?scope=server'")
          return re.findall(r'server_status\{proxy="aidb",server="([^"]+)",state="UP"\} 1', text)


      def wait_until(in_use_are, seconds):
          """Wait for it, and tell how long that took."""
          start = time.monotonic()
          while in_use() != in_use_are:
              if time.monotonic() - start > seconds:
                  raise Exception(f"in use are {in_use()}, not {in_use_are}, after {seconds} s")
              time.sleep(0.1)
          return time.monotonic() - start


      def one_after_another(before):
          """All were restarted, and each only when the one before it was there again."""
          at = sorted(starts().values())
          t.assertGreater(at[0], max(before.values()))
          for first, second in zip(at, at[1:]):
              t.assertGreater(second - first, ${toString cfg.aidb.drainSeconds})


      def switch(to):
          return machine.execute(f"{system}/{to}/bin/switch-to-configuration test 2>&1")


      machine.wait_for_unit("aistack-aidb-instances.service")
      machine.wait_for_unit("nginx.service")
      wait_until(names, 30)

      with subtest("exposure"):
          units = ${builtins.toJSON (map (name: "${name}.service") ours)}
          t.assertIn("aistack-balancer.service", units)
          for one in units:
              machine.succeed(f"systemd-analyze security --no-pager --threshold=15 {one} >&2")

      with subtest("each instance is asked, and has its own metrics"):
          with Load() as load:
              pass
          t.assertEqual(load.failures, [])
          for port in (metrics_port + 1, metrics_port + 2, metrics_port + 3):
              text = machine.succeed(f"curl -sf {authorized} http://127.0.0.1:{port}/metrics")
              t.assertRegex(text, r'aidb_http_requests_total\{.*"/v1/query"')
          out = machine.succeed(f"curl -s {authorized} {endpoint}/metrics")
          t.assertEqual(json.loads(out)["type"], "urn:aistack:problem:not-found")

      with subtest("the whole host at a glance"):
          told = json.loads(machine.succeed("aistack health --json --wait 30"))
          seen = {finding["name"] for finding in told["findings"]}
          t.assertLessEqual({"aidb", *names, *map(unit, names), "aistack-balancer.service"}, seen)

      with subtest("one that is killed fails only what it was at and must not be asked twice"):
          with Load() as load:
              machine.succeed(f"systemctl kill --signal=SIGKILL {unit('aidb-2')}")
              machine.sleep(5)
          ways = [failure["way"].partition(",")[0] for failure in load.failures]
          t.assertLessEqual(set(ways), {"write", "tool"}, load.failures)
          t.assertLessEqual(len(ways), 4, load.failures)
          wait_until(names, 30)

      with subtest("one that hangs is taken out within two periods, and comes back"):
          with Load() as load:
              machine.succeed(f"systemctl kill --signal=SIGSTOP {unit('aidb-3')}")
              took = wait_until(["aidb-1", "aidb-2"], 10)
              machine.sleep(2)
              machine.succeed(f"systemctl kill --signal=SIGCONT {unit('aidb-3')}")
              back = wait_until(names, 10)
          print(f"taken out after {took:.1f} s, in use again after {back:.1f} s")
          t.assertLess(took, 2 * 2 + 2)  # and some slack of this machine
          # What had been sent to it was answered late, not wrongly.
          t.assertEqual(load.failures, [])

      with subtest("without the database no instance is ready, and the balancer says so"):
          machine.succeed("systemctl stop postgresql.service")
          wait_until([], 30)
          out = machine.succeed(f"curl -s -D - {authorized} {endpoint}/v1/collections")
          head, _, body = out.replace("\r", "").partition("\n\n")
          t.assertIn("503", head.splitlines()[0])
          t.assertIn("retry-after: 2", head.lower())
          t.assertEqual(json.loads(body)["type"], "urn:aistack:problem:unavailable")
          machine.succeed("systemctl start postgresql.target")
          wait_until(names, 60)

      with subtest("a switch to another version restarts one after another, after the migration, and no request fails"):
          before = starts()
          with Load() as load:
              code, out = switch("specialisation/upgrade")
              t.assertEqual(code, 0, out)
          t.assertEqual(load.failures, [])
          one_after_another(before)
          show = "systemctl show -P ExecMainStartTimestampMonotonic aistack-migrate.service"
          t.assertLess(int(machine.succeed(show)) / 1e6, min(starts().values()))

          before = starts()
          code, out = switch("specialisation/upgrade")
          t.assertEqual((code, starts()), (0, before), "nothing has changed")

      with subtest("a version that does not start takes one instance, and the others go on"):
          before = starts()
          with Load() as load:
              code, out = switch("specialisation/broken")
              t.assertNotEqual(code, 0, out)
          t.assertEqual(load.failures, [])
          t.assertEqual(in_use(), ["aidb-2", "aidb-3"])
          t.assertEqual({n: starts()[n] for n in names[1:]}, {n: before[n] for n in names[1:]})
          journal = machine.succeed("journalctl -u aistack-aidb-instances.service --no-pager")
          t.assertIn("aistack-aidb-1 does not start: the instances after it stay as they are", journal)

      with subtest("fewer instances by a switch, and no request fails"):
          with Load() as load:
              code, out = switch("specialisation/fewer")
              t.assertEqual(code, 0, out)
          t.assertEqual(load.failures, [])
          t.assertEqual(in_use(), names[:2])
          machine.fail(f"systemctl is-active {unit('aidb-3')}")

      with subtest("from several instances to one, and back"):
          answers = f"curl -sf -o /dev/null {authorized} {endpoint}/v1/collections"
          code, out = switch("specialisation/single")
          t.assertEqual(code, 0, out)
          machine.wait_until_succeeds(answers)
          machine.fail("systemctl is-active aistack-balancer.service")
          machine.succeed(f"curl -sf -o /dev/null {authorized} {endpoint}/metrics")
          code, out = switch(".")
          t.assertEqual(code, 0, out)
          wait_until(names, 30)
          machine.succeed(answers)
    '';
}
