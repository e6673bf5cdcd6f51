# The console on a host: over nginx with TLS, behind an admin key, and no further than it was asked.
{ pkgs, ... }:
let
  domain = "kb.test";
in
{
  name = "aistack-console";

  # With a virtual host that others may reach.
  nodes.machine = {
    services.aistack = {
      enable = true;
      openFirewall = true;
      nginx = {
        enable = true;
        inherit domain;
      };
      gc.trashDays = 3;
      # This check asks more than a person would.
      settings.rate_limits.per_minute = 600;
    };
    networking.hosts."127.0.0.1" = [ domain ];
    environment.systemPackages = [ pkgs.curl ];
  };

  # Without one.
  nodes.bare = {
    services.aistack.enable = true;
    environment.systemPackages = [ pkgs.curl ];

    specialisation.closed.configuration.services.aistack.aidb.console.enable = false;
  };

  nodes.guest.environment.systemPackages = [ pkgs.curl ];

  testScript =
    { nodes, ... }:
    let
      port = toString nodes.machine.services.aistack.aidb.port;
    in
    ''
      import re
      import time

      site = "https://${domain}"
      key_file = "/var/lib/aistack-secrets/admin-key"
      jar = "-b /tmp/jar -c /tmp/jar"


      def browse(path, more="", at=site, on=machine):
          """Status and text of a page; what a browser keeps is kept."""
          out = on.succeed(
              f"curl -sk {jar} -o /tmp/page -D /tmp/head -w '%{{http_code}}' "
              f"-H 'Origin: {at}' {more} {at}{path}"
          )
          return int(out), on.succeed("cat /tmp/page")


      def sign_in(at=site, on=machine):
          on.succeed(f"{{ printf key=; cat {key_file}; }} | tr -d '\\n' > /tmp/form")
          return browse("/console/sign-in", "--data @/tmp/form", at, on)[0]


      def found(pattern, page):
          match = re.search(pattern, page)
          assert match is not None, f"no {pattern} in {page}"
          return match[1]


      def form_token(page):
          return found(r'name="token" value="([^"]+)"', page)


      start_all()
      machine.wait_for_unit("aistack-aidb.service")
      machine.wait_for_unit("nginx.service")

      with subtest("nobody is let in without an admin key"):
          status, page = browse("/console/")
          t.assertEqual((status, page), (303, ""))
          wrong = "aistack_" + "0" * 12 + "_" + "a" * 43
          status, page = browse("/console/sign-in", f"--data key={wrong}")
          t.assertEqual(status, 401)
          t.assertIn("no key", page)
          reader = machine.succeed("aistack keys create reader").strip()
          status, page = browse("/console/sign-in", f"--data key={reader}")
          t.assertEqual(status, 403)
          t.assertEqual(browse("/console/")[0], 303)

      with subtest("an admin key opens a session that only this site gets, by TLS"):
          t.assertEqual(sign_in(), 303)
          head = machine.succeed("cat /tmp/head").lower()
          for part in ("secure", "httponly", "samesite=strict", "path=/console/"):
              t.assertIn(part, head)
          status, page = browse("/console/")
          t.assertEqual(status, 200)
          for part in ("Dependencies", "postgres", "Traffic", "Issues", "Garbage collection"):
              t.assertIn(part, page)
          head = machine.succeed("cat /tmp/head").lower()
          t.assertIn("content-security-policy: default-src 'none'; script-src 'self'", head)
          t.assertIn("cache-control: no-store", head)

      with subtest("the host is seen from within the sandbox"):
          for _ in range(20):
              status, page = browse("/console/host")
              if "aistack-aidb.service" in page:
                  break
              time.sleep(1)
          t.assertEqual(status, 200)
          for part in ("aistack-aidb.service", "postgresql.service", "aistack-gc.timer", "${domain}"):
              t.assertIn(part, page)
          t.assertNotIn("state idle", page, "something is unknown")

      with subtest("the rules of garbage collection are those of the host"):
          status, page = browse("/console/garbage")
          t.assertIn("for 3 days", page)
          status, page = browse("/console/garbage/plan", f"--data token={form_token(page)}")
          t.assertEqual(status, 200, page)
          t.assertIn("Nothing was changed", page)

      with subtest("an issue is resolved by a form, and a form of elsewhere does nothing"):
          machine.succeed("aistack issues record 'the roof leaks' --component roof")
          machine.wait_until_succeeds("aistack issues list | grep 'the roof leaks'")
          _, page = browse("/console/issues")
          number = found(r'/console/issues/(\d+)">the roof', page)
          _, page = browse(f"/console/issues/{number}")
          form = f"--data status=resolved --data token={form_token(page)}"
          status, _ = browse(f"/console/issues/{number}/status", f"{form} -H 'Sec-Fetch-Site: cross-site'")
          t.assertEqual(status, 403)
          status, _ = browse(f"/console/issues/{number}/status", form)
          t.assertEqual(status, 303)
          machine.succeed("aistack issues list --status resolved | grep 'the roof leaks'")
          machine.succeed("journalctl -u aistack-aidb | grep 'console: issue resolved'")

      with subtest("events come through nginx at once, and a stop does not wait for them"):
          machine.execute(f"curl -skN {jar} '{site}/console/events?page=overview' > /tmp/events 2>&1 &")
          machine.wait_until_succeeds("grep 'event: parts' /tmp/events", timeout=10)
          begun = time.monotonic()
          machine.succeed("systemctl restart aistack-aidb.service")
          t.assertLess(time.monotonic() - begun, 15)

      with subtest("a revoked key ends the session at once"):
          t.assertEqual(browse("/console/")[0], 200)
          own = machine.succeed(f"cut -d_ -f2 {key_file}").strip()
          machine.succeed(f"aistack keys revoke {own}")
          t.assertEqual(browse("/console/")[0], 303)

      with subtest("others reach it where the virtual host was asked for, and nowhere else"):
          address = "--connect-timeout 5 --resolve ${domain}:443:$(getent hosts machine | cut -d' ' -f1)"
          guest.wait_until_succeeds(f"curl -sfk {address} {site}/console/sign-in | grep 'API key'")
          guest.fail("curl -s --connect-timeout 5 http://machine:${port}/console/sign-in")
          bare.wait_for_unit("aistack-aidb.service")
          at = "http://127.0.0.1:${port}"
          t.assertEqual(sign_in(at, bare), 303)
          t.assertEqual(browse("/console/", at=at, on=bare)[0], 200)
          guest.fail("curl -s --connect-timeout 5 http://bare:${port}/console/sign-in")

      with subtest("without the option there is none"):
          system = "${nodes.bare.system.build.toplevel}"
          bare.succeed(f"{system}/specialisation/closed/bin/switch-to-configuration test >&2")
          bare.wait_until_succeeds(f"curl -sf {at}/health/live")
          t.assertEqual(browse("/console/sign-in", at=at, on=bare)[0], 401)
    '';
}
