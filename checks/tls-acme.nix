# NixOS's ACME client and an ACME server with faults: what it orders is judged, deployed and served.
let
  acme = import ./lib/acme.nix;
in
{
  name = "aistack-tls-acme";

  nodes.ca = acme.ca;
  nodes.kb = acme.kb "acme";

  testScript = ''
    ${acme.functions}

    start_all()

    with subtest("before there is a CA, nginx serves a placeholder, and that is complained about"):
        kb.wait_for_unit("nginx.service")
        kb.wait_for_open_port(443)
        t.assertIn("minica", issuer())
        kb.fail("systemctl start aistack-tls-renew.service")
        t.assertIn("placeholder", kb.succeed("journalctl -u aistack-tls-renew.service"))
        for unit in ("acme-order-renew-kb.test", "aistack-tls-renew"):
            kb.wait_until_succeeds(f"aistack issues list --component {unit} --json | grep -F '{unit}.service failed'")

    with subtest("what is ordered is served, with nobody's help"):
        trust_the_ca()
        until_it_works("systemctl restart acme-order-renew-kb.test.service")
        kb.wait_until_succeeds(f"{ask} | openssl x509 -noout -issuer | grep Pebble")
        kb.succeed(
            "aistack tls check kb.test --ca /tmp/root.pem >&2",
            "aistack tls status >&2",
            "systemctl start aistack-tls-renew.service",
        )
        kb.wait_until_succeeds("curl -sf --cacert /tmp/root.pem https://kb.test/health/live")

    with subtest("a torn certificate is refused, and the old one served on, also after a restart"):
        kb.succeed("truncate -s 100 /var/lib/acme/kb.test/fullchain.pem")
        kb.fail("systemctl restart aistack-tls.service")
        t.assertIn("Pebble", issuer())
        kb.succeed("systemctl restart nginx.service")
        kb.wait_until_succeeds(f"{ask} | openssl x509 -noout -issuer | grep Pebble")

    with subtest("HTTP leads to HTTPS, but for the CA"):
        t.assertIn("308", kb.succeed("curl -sI http://kb.test/v1 | head -1"))
        t.assertIn("404", kb.succeed("curl -sI http://kb.test/.well-known/acme-challenge/x | head -1"))

    with subtest("the timers wait"):
        kb.wait_for_unit("acme-renew-kb.test.timer")
        kb.wait_for_unit("aistack-tls-renew.timer")
  '';
}
