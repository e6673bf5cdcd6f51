# The virtual host's certificate, where nginx finds it: the administrator's files, or a self-signed
# one. A host that sets enableACME or useACMEHost on the virtual host needs neither.
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
  supplied = cfg.nginx.certificateFile != null;
  named = cfg.enable && cfg.nginx.enable && cfg.nginx.domain != null;
  vhost = config.services.nginx.virtualHosts.${cfg.nginx.domain};
  enabled = named && !vhost.enableACME && vhost.useACMEHost == null;

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

  # nginx reads its key as its own user, so root's file is handed on to its group.
  copy = ''
    install -m 0640 "$CREDENTIALS_DIRECTORY/key" .key.new
    install -m 0640 "$CREDENTIALS_DIRECTORY/cert" .cert.new
  '';

  make = ''
    # Each answer is judged by its text: the exit status of -checkend is not to be relied upon.
    good() {
      [[ $(openssl x509 -in cert.pem -noout -checkend 2592000 2>&1) == *"will not expire"* ]] &&
        [[ $(openssl x509 -in cert.pem -noout -checkhost "$DOMAIN" 2>&1) == *"does match"* ]] &&
        [[ $(openssl x509 -in cert.pem -noout -pubkey) == "$(openssl pkey -in key.pem -pubout)" ]]
    }
    # Clients were told to trust it: kept while it is of this name and good for another month.
    if [[ -s cert.pem && -s key.pem ]] && good; then
      exit 0
    fi
    openssl req -x509 -config ${request} -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
      -days 825 -keyout .key.new -out .cert.new
    chmod 0640 .key.new
  '';
in
{
  options.services.aistack.nginx = {
    certificateFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/kb.example.org.pem";
      description = ''
        The certificate with its chain, in PEM; only root need read it. After a renewal, restart
        {command}`aistack-certificate` and reload nginx. With `null`, a self-signed one is made on
        the host, which clients must be told to trust ({file}`${state}/cert.pem`).
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

    (lib.mkIf named {
      # Defaults: with ACME, NixOS sets its own.
      services.nginx.virtualHosts.${cfg.nginx.domain} = {
        sslCertificate = lib.mkDefault "${state}/cert.pem";
        sslCertificateKey = lib.mkDefault "${state}/key.pem";
      };
    })

    (lib.mkIf enabled {
      systemd.services.aistack-certificate = {
        description = "certificate of aistack's virtual host";
        # Not required: a failure here must not take other virtual hosts down.
        wantedBy = [ "nginx.service" ];
        before = [ "nginx.service" ];
        path = [
          pkgs.coreutils
          pkgs.openssl
        ];
        enableStrictShellChecks = true;
        environment.DOMAIN = cfg.nginx.domain;
        script = ''
          cd "$STATE_DIRECTORY"
        ''
        + (if supplied then copy else make)
        + ''
          sync .key.new .cert.new
          mv .key.new key.pem
          mv .cert.new cert.pem
          sync .
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
          LoadCredential = lib.optionals supplied [
            "cert:${cfg.nginx.certificateFile}"
            "key:${cfg.nginx.certificateKeyFile}"
          ];
        };
      };

      users.users.aistack-tls = {
        isSystemUser = true;
        group = "aistack-tls";
        description = "aistack's certificate";
      };
      users.groups.aistack-tls = { };
    })
  ];
}
