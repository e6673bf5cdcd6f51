# A certificate by NixOS's ACME client, and what it shares with certbot.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.tls;
  acme = own.acme;
  at = "services.aistack.tls";
  asks = own.provider == "acme" || own.provider == "certbot";
  domain = cfg.nginx.domain;
in
{
  options.services.aistack.tls.acme = {
    acceptTerms = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether you accept the terms of service of the CA (`acme` and `certbot`).";
    };

    email = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "admin@example.org";
      description = "Where the CA writes to, if it does; Let's Encrypt needs none.";
    };

    staging = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Whether to ask Let's Encrypt's staging environment, to try things out: no client trusts its
        certificates. Otherwise one of those is never served.
      '';
    };

    server = lib.mkOption {
      type = lib.types.str;
      default =
        if acme.staging then
          "https://acme-staging-v02.api.letsencrypt.org/directory"
        else
          "https://acme-v02.api.letsencrypt.org/directory";
      defaultText = lib.literalMD "that of Let's Encrypt, by {option}`services.aistack.tls.acme.staging`";
      example = "https://ca.internal/acme/acme/directory";
      description = "URL of the CA's ACME directory.";
    };

    caFile = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      example = "/etc/ssl/internal-ca.pem";
      description = ''
        Certificates by which the ACME server itself is trusted, in PEM and readable by everybody,
        where it is a private one. Others are not trusted then.
      '';
    };

    profile = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "shortlived";
      description = "The CA's certificate profile; it decides about the lifetime, among others.";
    };

    dnsProvider = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "hetzner";
      description = ''
        Proof by DNS (DNS-01) at this provider of [lego](https://go-acme.github.io/lego/dns/), for a
        host that the CA cannot reach. With `null`, by HTTP on port 80 (HTTP-01). Only `acme` has it.
      '';
    };

    credentialFiles = lib.mkOption {
      type = lib.types.attrsOf lib.types.externalPath;
      default = { };
      example = {
        HETZNER_API_TOKEN_FILE = "/run/secrets/hetzner-dns";
      };
      description = ''
        What the DNS provider wants to know: the names of lego's environment variables, each ending
        in `_FILE`, and the files that hold their values; only root need read those.
      '';
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = asks && own.enabled -> acme.acceptTerms;
          message = ''
            ${at}.provider is "${own.provider}", and ${at}.acme.acceptTerms is false. Read the terms
            of service of ${acme.server} and set ${at}.acme.acceptTerms = true.
          '';
        }
        {
          assertion = acme.dnsProvider != null -> own.provider == "acme";
          message = ''
            ${at}.acme.dnsProvider is "${toString acme.dnsProvider}", but ${at}.provider is
            "${own.provider}", which does not prove by DNS. Set ${at}.provider = "acme", or take it out.
          '';
        }
        {
          assertion = acme.credentialFiles != { } -> acme.dnsProvider != null;
          message = ''
            ${at}.acme.credentialFiles names ${toString (lib.attrNames acme.credentialFiles)}, but
            ${at}.acme.dnsProvider is null: nobody would read them. Set it, or take them out.
          '';
        }
        {
          assertion = acme.staging -> asks;
          message = ''
            ${at}.acme.staging is set, but ${at}.provider is "${own.provider}", which asks no CA. Set
            ${at}.provider to "acme" or "certbot", or take it out.
          '';
        }
      ];
    })

    (lib.mkIf (own.enabled && asks) {
      services.aistack.settings.tls.staging = acme.staging;
    })

    (lib.mkIf (own.enabled && own.provider == "acme") {
      services.aistack = {
        settings.tls =
          let
            inherit (config.security.acme.certs.${domain}) directory;
          in
          {
            certificate_file = "${directory}/fullchain.pem";
            key_file = "${directory}/key.pem";
          };
        settings.host = {
          # So that an order that fails is seen, and becomes an issue.
          units = [ "acme-order-renew-${domain}.service" ];
          timers = [ "acme-renew-${domain}.timer" ];
        };
        tls.webroot = lib.mkIf (acme.dnsProvider == null) "/var/lib/acme/acme-challenge";
      };

      security.acme = {
        acceptTerms = lib.mkIf acme.acceptTerms true;
        certs.${domain} = {
          extraDomainNames = lib.tail own.names;
          inherit (acme) credentialFiles dnsProvider server;
          # Else those of security.acme.defaults.
          email = lib.mkIf (acme.email != null) acme.email;
          profile = lib.mkIf (acme.profile != null) acme.profile;
          inherit (own) webroot;
          inherit (config.services.nginx) group;
          # Deploys it, and so reloads nginx.
          reloadServices = [ "aistack-tls.service" ];
        };
      };

      systemd.services = {
        # NixOS makes a placeholder before it asks the CA.
        aistack-tls = {
          wants = [ "acme-${domain}.service" ];
          after = [ "acme-${domain}.service" ];
        };
        # The CA asks nginx.
        "acme-order-renew-${domain}" = {
          after = [ "nginx.service" ];
          environment = lib.mkIf (acme.caFile != null) { LEGO_CA_CERTIFICATES = "${acme.caFile}"; };
        };
      };
    })
  ];
}
