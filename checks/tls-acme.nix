# NixOS's ACME client and an ACME server with faults: what it orders is judged, deployed and served.
{
  name = "aistack-tls-acme";

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
          provider = "acme";
          acme = {
            acceptTerms = true;
            email = "admin@kb.test";
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


    def order():
        """Pebble rejects good nonces: the timer would come again, too."""
        for _ in range(15):
            if kb.execute("systemctl restart acme-order-renew-kb.test.service")[0] == 0:
                return
        kb.succeed("systemctl restart acme-order-renew-kb.test.service")


    start_all()

    with subtest("before there is a CA, nginx serves a placeholder, and that is complained about"):
        kb.wait_for_unit("nginx.service")
        t.assertIn("minica", issuer())
        kb.fail("systemctl start aistack-tls-renew.service")
        t.assertIn("placeholder", kb.succeed("journalctl -u aistack-tls-renew.service"))

    with subtest("what is ordered is served, with nobody's help"):
        ca.wait_for_open_port(14000)
        pem = ca.succeed("cat /var/lib/pebble/cert.pem")
        kb.succeed(f"echo '{pem}' > /etc/pebble.pem")
        order()
        kb.wait_until_succeeds(f"{ask} | openssl x509 -noout -issuer | grep Pebble")
        kb.succeed(
            "curl -skf https://ca:15000/roots/0 > /tmp/root.pem",
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
