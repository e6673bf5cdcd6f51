# certbot and an ACME server with faults: from the first boot without a CA to a renewal.
{
  name = "aistack-tls-certbot";

  nodes.ca = ./lib/acme-server.nix;

  nodes.kb =
    { pkgs, ... }:
    {
      services.aistack = {
        enable = true;
        openFirewall = true;
        nginx = {
          enable = true;
          domain = "kb.test";
        };
        tls = {
          provider = "certbot";
          acme = {
            acceptTerms = true;
            server = "https://ca:14000/dir";
            # Comes later: at the first boot there is no CA.
            caFile = "/etc/pebble.pem";
          };
        };
      };
      virtualisation.memorySize = 2048;
      networking.hosts."127.0.0.1" = [ "kb.test" ];
      environment.systemPackages = [
        pkgs.curl
        pkgs.openssl
      ];
    };

  testScript = ''
    ask = "openssl s_client -connect 127.0.0.1:443 -servername kb.test </dev/null 2>/dev/null"


    def issuer():
        return kb.succeed(f"{ask} | openssl x509 -noout -issuer")


    def serial():
        return kb.succeed(f"{ask} | openssl x509 -noout -serial")


    def until_it_works(unit):
        """Pebble rejects good nonces: the timer would come again, too."""
        for _ in range(15):
            if kb.execute(f"systemctl start {unit}")[0] == 0:
                return
        kb.succeed(f"systemctl start {unit}")


    start_all()

    with subtest("before there is a CA, nginx serves a certificate of the host's own"):
        kb.wait_for_unit("nginx.service")
        kb.wait_until_succeeds("systemctl is-failed aistack-tls-renew.service")
        t.assertIn("aistack on kb.test", issuer())
        kb.wait_until_succeeds(
            "curl -sf --cacert /var/lib/aistack-tls/ca.pem https://kb.test/health/live"
        )

    with subtest("then its certificate is obtained, and served"):
        ca.wait_for_open_port(14000)
        pem = ca.succeed("cat /var/lib/pebble/cert.pem")
        kb.succeed(f"echo '{pem}' > /etc/pebble.pem")
        until_it_works("aistack-tls-renew.service")
        t.assertIn("Pebble", issuer())
        kb.succeed(
            "curl -skf https://ca:15000/roots/0 > /tmp/root.pem",
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
        until_it_works("aistack-certbot@force-renewal.service")
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
