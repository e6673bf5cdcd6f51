# The virtual host's certificate: files of the administrator's, or a self-signed one.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  hardening = import ../lib/hardening.nix { inherit lib; };
  at = "services.aistack.nginx";

  state = "/var/lib/aistack-tls";
  own = cfg.nginx.certificateFile != null;
  request = pkgs.writeText "aistack-certificate-request.cnf" ''
    [req]
    prompt = no
    distinguished_name = name
    x509_extensions = extensions

    [name]
    O = aistack, self-signed

    [extensions]
    subjectAltName = DNS:${toString cfg.nginx.domain}
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, digitalSignature
    extendedKeyUsage = serverAuth
    subjectKeyIdentifier = hash
    authorityKeyIdentifier = keyid:always
  '';
  enabled = cfg.enable && cfg.nginx.enable && cfg.nginx.domain != null;
in
{
  options.services.aistack.nginx = {
    certificateFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/kb.example.org.pem";
      description = ''
        The certificate with its chain, in PEM. With `null`, a self-signed one is made on the host,
        which clients must be told to trust ({file}`${state}/cert.pem`).
      '';
    };

    certificateKeyFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/kb.example.org.key";
      description = "The certificate's private key, in PEM; only root need read it.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = (cfg.nginx.certificateFile == null) == (cfg.nginx.certificateKeyFile == null);
          message = "${at}.certificateFile and ${at}.certificateKeyFile belong together: set both or neither.";
        }
      ];
    })

    (lib.mkIf enabled {
      services.nginx.virtualHosts.${cfg.nginx.domain} =
        if own then
          {
            sslCertificate = cfg.nginx.certificateFile;
            sslCertificateKey = cfg.nginx.certificateKeyFile;
          }
        else
          {
            sslCertificate = "${state}/cert.pem";
            sslCertificateKey = "${state}/key.pem";
          };
    })

    (lib.mkIf (enabled && !own) {
      systemd.services.aistack-certificate = {
        description = "aistack self-signed certificate";
        before = [ "nginx.service" ];
        requiredBy = [ "nginx.service" ];
        path = [
          pkgs.coreutils
          pkgs.openssl
        ];
        enableStrictShellChecks = true;
        environment.DOMAIN = cfg.nginx.domain;
        script = ''
          cd "$STATE_DIRECTORY"
          # Kept while it is of this name and good for another month.
          if openssl x509 -in cert.pem -noout -checkend 2592000 -checkhost "$DOMAIN" 2> /dev/null |
            grep -q 'does match'; then
            exit 0
          fi
          openssl req -x509 -config ${request} -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -days 825 -keyout .key.new -out .cert.new
          chmod 0640 .key.new
          sync .key.new .cert.new
          mv .key.new key.pem
          mv .cert.new cert.pem
        '';

        serviceConfig = hardening.sandbox [ ] // {
          Type = "oneshot";
          RemainAfterExit = true;
          Slice = "aistack.slice";
          User = "aistack-tls";
          Group = config.services.nginx.group;
          StateDirectory = "aistack-tls";
          StateDirectoryMode = "0750";
          UMask = "0027";
        };
      };

      users.users.aistack-tls = {
        isSystemUser = true;
        group = "aistack-tls";
        description = "aistack's self-signed certificate";
      };
      users.groups.aistack-tls = { };
    })
  ];
}
