# A node with Pebble, an ACME server for tests. Its faults are on: it rejects good nonces and is slow.
# Others reach it as `ca`; the certificate by which it is trusted is made when it starts.
{ nodes, pkgs, ... }:
let
  config = pkgs.writeText "pebble.json" (
    builtins.toJSON {
      pebble = {
        listenAddress = "0.0.0.0:14000";
        managementListenAddress = "0.0.0.0:15000";
        certificate = "/var/lib/pebble/cert.pem";
        privateKey = "/var/lib/pebble/key.pem";
        httpPort = 80;
        tlsPort = 443;
        ocspResponderURL = "";
        externalAccountBindingRequired = false;
      };
    }
  );
in
{
  networking = {
    firewall.allowedTCPPorts = [
      14000
      15000
    ];
    hosts.${nodes.kb.networking.primaryIPAddress} = [ "kb.test" ];
  };

  systemd.services.pebble = {
    description = "an ACME server for tests";
    wantedBy = [ "multi-user.target" ];
    path = [ pkgs.openssl ];
    environment = {
      PEBBLE_VA_SLEEPTIME = "2";
      PEBBLE_WFE_NONCEREJECT = "10";
    };
    preStart = ''
      cd /var/lib/pebble
      test -s cert.pem || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 10 -keyout key.pem -out cert.pem -subj /CN=ca -addext subjectAltName=DNS:ca
    '';
    serviceConfig = {
      StateDirectory = "pebble";
      ExecStart = "${pkgs.pebble}/bin/pebble -config ${config}";
    };
  };
}
