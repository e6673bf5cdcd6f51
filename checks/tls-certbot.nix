# certbot and an ACME server with faults: from the first boot without a CA to a renewal.
let
  acme = import ./lib/acme.nix;
in
{
  name = "aistack-tls-certbot";

  nodes.ca = acme.ca;
  nodes.kb = acme.kb "certbot";

  testScript = ''
    ${acme.functions}

    start_all()

    with subtest("before there is a CA, nginx serves a certificate of the host's own"):
        kb.wait_for_unit("nginx.service")
        kb.wait_for_open_port(443)
        kb.wait_until_succeeds("systemctl is-failed aistack-tls-renew.service")
        t.assertIn("aistack on kb.test", issuer())
        kb.wait_until_succeeds(
            "curl -sf --cacert /var/lib/aistack-tls/ca.pem https://kb.test/health/live"
        )

    with subtest("then its certificate is obtained, and served"):
        trust_the_ca()
        until_it_works("systemctl start aistack-tls-renew.service")
        t.assertIn("Pebble", issuer())
        kb.succeed(
            "curl -sf --cacert /tmp/root.pem https://kb.test/health/live",
            "aistack tls check kb.test --ca /tmp/root.pem >&2",
            "aistack tls status >&2",
        )

    with subtest("the keys are for those who need them"):
        kb.fail("runuser -u nobody -- cat /var/lib/aistack-certbot/live/aistack/privkey.pem")
        kb.fail("runuser -u nobody -- cat /var/lib/aistack-tls/live/privkey.pem")
        kb.succeed("runuser -u nobody -- test -r /var/lib/aistack-tls/live/fullchain.pem")

    with subtest("as long as it is not due, nothing is ordered"):
        first = serial()
        kb.succeed("systemctl start aistack-tls-renew.service", "aistack tls renew --dry-run")
        t.assertEqual(serial(), first)

    with subtest("while the CA is away the old one is served"):
        ca.succeed("systemctl stop pebble.service")
        kb.fail("systemctl start aistack-certbot@force-renewal.service")
        kb.succeed("systemctl restart aistack-tls.service")
        t.assertEqual(serial(), first)
        ca.succeed("systemctl start pebble.service")
        ca.wait_for_open_port(14000)

    with subtest("one that certbot obtained by itself is deployed by the next run"):
        # A CA that was started anew knows no account of before.
        kb.succeed("rm -r /var/lib/aistack-certbot/accounts")
        until_it_works("systemctl start aistack-certbot@force-renewal.service")
        t.assertEqual(serial(), first)
        kb.succeed("systemctl start aistack-tls-renew.service")
        t.assertNotEqual(serial(), first)

    with subtest("a certificate that does not fit its key is refused, and the old one served on"):
        second = serial()
        archive = "/var/lib/aistack-certbot/archive/aistack"
        kb.succeed(f"cp {archive}/privkey1.pem {archive}/privkey2.pem")
        kb.fail("systemctl restart aistack-tls.service")
        t.assertIn("key: is of another", kb.succeed("journalctl -u aistack-tls.service"))
        t.assertEqual(serial(), second)
        kb.succeed("curl -sf --cacert /var/lib/aistack-tls/live/fullchain.pem -k https://kb.test/health/live")

    with subtest("both the failures and the success are told"):
        kb.wait_for_unit("aistack-aidb.service")
        authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""
        metrics = kb.succeed(f"curl -sf {authorized} http://127.0.0.1:8091/metrics")
        t.assertIn("aistack_tls_renewal_failures_total ", metrics)
        t.assertIn("aistack_tls_renewal_last_success_timestamp ", metrics)
        kb.wait_for_unit("aistack-tls-renew.timer")
  '';
}
