# Certificates that no CA makes: the host's own authority, and supplied files. What is wrong is
# refused, and the old one is served on.
{ pkgs, ... }:
let
  domain = "kb.test";
  issue = name: san: ''
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
      -subj '/O=${name}' -addext 'subjectAltName=DNS:${san}' \
      -keyout /run/tls/key.pem -out /run/tls/cert.pem
  '';
  common = {
    services.aistack = {
      enable = true;
      nginx = {
        enable = true;
        inherit domain;
      };
    };
    networking.hosts."127.0.0.1" = [ domain ];
    environment.systemPackages = [
      pkgs.curl
      pkgs.openssl
    ];
  };
in
{
  name = "aistack-certificate";

  nodes.own = {
    imports = [ common ];
    services.aistack.tls.hstsMaxAge = 3600;
    services.nginx = {
      defaultHTTPListenPort = 8080;
      defaultSSLListenPort = 8443;
    };
  };

  nodes.supplied = {
    imports = [ common ];
    services.aistack.tls = {
      provider = "files";
      certificateFile = "/run/tls/cert.pem";
      certificateKeyFile = "/run/tls/key.pem";
    };
    # What sops-nix or agenix would do.
    systemd.services.supply = {
      requiredBy = [ "aistack-tls.service" ];
      before = [ "aistack-tls.service" ];
      path = [ pkgs.openssl ];
      script = issue "first" domain;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        RuntimeDirectory = "tls";
        RuntimeDirectoryMode = "0700";
        UMask = "0077";
      };
    };
  };

  testScript = ''
    live = "/var/lib/aistack-tls/live"
    start_all()

    with subtest("who trusts the host's authority trusts its certificate"):
        own.wait_for_unit("nginx.service")
        ca = "/var/lib/aistack-tls/ca.pem"
        own.wait_until_succeeds(f"curl -sf --cacert {ca} https://${domain}:8443/health/live")
        own.fail("curl -sf https://${domain}:8443/health/live")
        own.succeed(f"aistack tls check ${domain}:8443 --ca {ca} >&2")
        own.succeed("aistack tls status >&2")

    with subtest("HTTP leads to HTTPS, to the same port and path; HSTS is said"):
        head = own.succeed("curl -sI 'http://${domain}:8080/v1/query?a=b'")
        t.assertIn("308", head.splitlines()[0])
        t.assertIn("Location: https://${domain}:8443/v1/query?a=b", head)
        head = own.succeed("curl -skI https://${domain}:8443/health/live").lower()
        t.assertIn("strict-transport-security: max-age=3600", head)

    with subtest("TLS 1.2 and 1.3, and nothing older"):
        for version, spoken in (("1.1", False), ("1.2", True), ("1.3", True)):
            call = f"curl -sk --tlsv{version} --tls-max {version} https://${domain}:8443/health/live"
            own.succeed(call) if spoken else own.fail(call)

    with subtest("its key and the authority's are for root and nginx only"):
        own.succeed(f"runuser -u nginx -- test -r {live}/privkey.pem")
        own.fail(f"runuser -u nobody -- test -r {live}/privkey.pem")
        own.succeed(f"runuser -u nobody -- test -r {ca}")
        own.fail("runuser -u nginx -- test -r /var/lib/aistack-tls/authority")

    with subtest("the timer's unit changes nothing that is not due"):
        own.wait_for_unit("aistack-tls-renew.timer")
        before = own.succeed(f"readlink {live}; cat {ca}")
        own.succeed("systemctl start aistack-tls-renew.service")
        t.assertEqual(own.succeed(f"readlink {live}; cat {ca}"), before)

    with subtest("the run is in the ledger, and its metrics are told"):
        own.wait_for_unit("aistack-aidb.service")
        authorized = "-H \"Authorization: Bearer $(cat /var/lib/aistack-secrets/admin-key)\""
        own.wait_until_succeeds(
            f"curl -sf {authorized} http://127.0.0.1:8091/metrics | grep -q tls_certificate_expiry"
        )
        metrics = own.succeed(f"curl -sf {authorized} http://127.0.0.1:8091/metrics")
        t.assertIn("aistack_tls_renewal_last_success_timestamp ", metrics)
        t.assertIn("aistack_tls_renewal_failures_total 0", metrics)
        t.assertIn('tls_certificate_lifetime_seconds{name="${domain}"} 7.7', metrics)

    served = "curl -sf --cacert /run/tls/cert.pem https://${domain}/health/live"
    with subtest("nginx serves the supplied certificate"):
        supplied.wait_for_unit("nginx.service")
        supplied.wait_until_succeeds(served)
        supplied.succeed("cp /run/tls/cert.pem /root/first.pem")

    with subtest("the key that was supplied stays root's, its copy is for nginx"):
        supplied.succeed(f"runuser -u nginx -- test -r {live}/privkey.pem")
        supplied.fail(f"runuser -u nobody -- test -r {live}/privkey.pem")
        supplied.fail("runuser -u nginx -- test -r /run/tls/key.pem")

    first = served.replace("/run/tls/cert.pem", "/root/first.pem")
    with subtest("one of another name is refused, and the old one served on"):
        supplied.succeed("""${issue "wrong" "other.test"}""")
        supplied.fail("systemctl restart aistack-tls.service")
        supplied.succeed(first)
        t.assertIn("is not of ${domain}", supplied.succeed("journalctl -u aistack-tls.service"))

    with subtest("a renewed one is served after the documented command, and not before"):
        supplied.succeed("""${issue "second" domain}""")
        supplied.fail(served)
        supplied.succeed("systemctl restart aistack-tls.service")
        supplied.succeed(served)

    with subtest("what nginx itself refuses is not swapped in"):
        before = supplied.succeed(f"readlink {live}")
        supplied.succeed(
            "openssl req -x509 -newkey rsa:1024 -nodes -days 30 -subj /O=weak"
            " -addext subjectAltName=DNS:${domain} -keyout /run/tls/key.pem -out /run/tls/cert.pem"
        )
        supplied.fail("systemctl restart aistack-tls.service")
        t.assertIn("key too small", supplied.succeed("journalctl -u aistack-tls-test.service"))
        t.assertEqual(supplied.succeed(f"readlink {live}"), before)
        supplied.succeed("""${issue "third" domain}""")
        supplied.succeed("systemctl restart aistack-tls.service", served)

    with subtest("the command works for root as the units do"):
        out = supplied.succeed("aistack tls deploy --dry-run 2>&1")
        t.assertIn("would change nothing", out)
        supplied.succeed("aistack tls renew >&2")
  '';
}
