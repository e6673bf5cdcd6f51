# What the checks of certificates by an ACME server share: the server, the host and its first steps.
{
  # Pebble, with its faults on: it rejects good nonces and is slow. Others reach it as `ca`; the
  # certificate by which it is trusted is made when it starts.
  ca =
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
    };

  # A host that takes its certificate from there, by this provider.
  kb =
    provider:
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
          inherit provider;
          acme = {
            acceptTerms = true;
            email = "admin@kb.test";
            server = "https://ca:14000/dir";
            # Comes later: at the first boot there is no CA.
            caFile = "/etc/pebble.pem";
          };
        };
      };
      networking.hosts."127.0.0.1" = [ "kb.test" ];
      environment.systemPackages = [
        pkgs.curl
        pkgs.openssl
      ];
    };

  # For the test script.
  functions = ''
    ask = "openssl s_client -connect 127.0.0.1:443 -servername kb.test </dev/null 2>/dev/null"


    def issuer():
        return kb.succeed(f"{ask} | openssl x509 -noout -issuer")


    def serial():
        return kb.succeed(f"{ask} | openssl x509 -noout -serial")


    def trust_the_ca():
        """From now on there is a CA."""
        ca.wait_for_open_port(14000)
        pem = ca.succeed("cat /var/lib/pebble/cert.pem")
        kb.succeed(f"echo '{pem}' > /etc/pebble.pem")
        kb.wait_until_succeeds("curl -skf https://ca:15000/roots/0 > /tmp/root.pem")


    def until_it_works(command):
        """Pebble rejects good nonces: the timer would come again, too."""
        for _ in range(15):
            if kb.execute(command)[0] == 0:
                return
        kb.succeed(command)
  '';
}
