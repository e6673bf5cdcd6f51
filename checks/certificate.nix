# A supplied certificate: handed on from files of root's, and again after a renewal.
{ pkgs, ... }:
let
  domain = "kb.test";
  issue = name: ''
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
      -subj '/O=${name}' -addext 'subjectAltName=DNS:${domain}' \
      -keyout /run/tls/key.pem -out /run/tls/cert.pem
  '';
in
{
  name = "aistack-certificate";

  nodes.machine = {
    services.aistack = {
      enable = true;
      nginx = {
        enable = true;
        inherit domain;
        certificateFile = "/run/tls/cert.pem";
        certificateKeyFile = "/run/tls/key.pem";
      };
    };
    # What sops-nix or agenix would do.
    systemd.services.supply = {
      requiredBy = [ "aistack-certificate.service" ];
      before = [ "aistack-certificate.service" ];
      path = [ pkgs.openssl ];
      script = issue "first";
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        RuntimeDirectory = "tls";
        RuntimeDirectoryMode = "0700";
        UMask = "0077";
      };
    };
    virtualisation.memorySize = 2048;
    networking.hosts."127.0.0.1" = [ domain ];
    environment.systemPackages = [
      pkgs.curl
      pkgs.openssl
    ];
  };

  testScript = ''
    served = "curl -sf --cacert /run/tls/cert.pem https://${domain}/health/live"

    with subtest("nginx serves the supplied certificate"):
        machine.wait_for_unit("nginx.service")
        machine.wait_until_succeeds(served)

    with subtest("its key is for root and nginx only"):
        machine.succeed("runuser -u nginx -- test -r /var/lib/aistack-tls/key.pem")
        machine.fail("runuser -u nobody -- test -r /var/lib/aistack-tls/key.pem")
        machine.fail("runuser -u nginx -- test -r /run/tls/key.pem")

    with subtest("a renewed one is served after the documented commands, and not before"):
        machine.succeed("""${issue "second"}""")
        machine.fail(served)
        machine.succeed("systemctl restart aistack-certificate", "systemctl reload nginx")
        machine.wait_until_succeeds(served)
  '';
}
