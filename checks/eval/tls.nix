# nginx and its certificate, by each provider.
{
  lib,
  self,
  evaluate,
  with',
  enabled,
  complaints,
  complains,
  served,
  ...
}:
let
  providers = {
    selfSigned = { };
    acme = {
      provider = "acme";
      acme.acceptTerms = true;
      acme.email = "admin@kb.test";
    };
    dns = {
      provider = "acme";
      acme = {
        acceptTerms = true;
        dnsProvider = "hetzner";
        credentialFiles.HETZNER_API_TOKEN_FILE = "/run/secrets/dns";
      };
    };
    certbot = {
      provider = "certbot";
      acme.acceptTerms = true;
    };
    files = {
      provider = "files";
      certificateFile = "/run/secrets/cert.pem";
      certificateKeyFile = "/run/secrets/key.pem";
    };
  };
in
{
  testNginxWithoutDomain = complains "services.aistack.nginx.domain" { nginx.enable = true; };
  testHalfACertificate = complains "services.aistack.tls.certificateFile" (served {
    provider = "files";
    certificateFile = "/run/secrets/cert.pem";
  });
  testACertificateForNothing = complains "services.aistack.tls.certificateFile" (served {
    certificateFile = "/run/secrets/cert.pem";
    certificateKeyFile = "/run/secrets/key.pem";
  });
  testNoCertificateFile = complains "services.aistack.tls.provider" (served {
    provider = "files";
  });
  testTermsOfServiceOfAcme = complains "services.aistack.tls.provider" (served {
    provider = "acme";
  });
  testTermsOfServiceOfCertbot = complains "services.aistack.tls.provider" (served {
    provider = "certbot";
  });
  testCertbotDoesNotProveByDns = complains "services.aistack.tls.acme.dnsProvider" (served {
    provider = "certbot";
    acme.acceptTerms = true;
    acme.dnsProvider = "hetzner";
  });
  testCredentialsForNothing = complains "services.aistack.tls.acme.credentialFiles" (served {
    provider = "acme";
    acme.acceptTerms = true;
    acme.credentialFiles.HETZNER_API_TOKEN_FILE = "/run/secrets/dns";
  });
  testStagingForNothing = complains "services.aistack.tls.acme.staging" (served {
    acme.staging = true;
  });
  testTwoMastersOfACertificate = {
    expr = lib.any (a: !a.assertion && lib.hasInfix "services.aistack.tls.provider" a.message) (
      (evaluate [
        self.nixosModules.default
        {
          services.aistack = served { } // {
            enable = true;
          };
        }
        { services.nginx.virtualHosts."kb.test".enableACME = true; }
      ]).assertions
    );
    expected = true;
  };
  # Each provider alone has nothing to complain about, and makes what it says.
  testProviders = {
    expr = lib.mapAttrs (_: tls: complaints (served tls)) providers;
    expected = lib.mapAttrs (_: _: [ ]) providers;
  };
  testUnitsOfProviders = {
    expr = lib.mapAttrs (
      _: tls:
      lib.filter (lib.hasInfix "certbot") (lib.attrNames (with' (served tls)).systemd.services)
      ++ lib.attrNames (with' (served tls)).security.acme.certs
    ) providers;
    expected = {
      selfSigned = [ ];
      acme = [ "kb.test" ];
      dns = [ "kb.test" ];
      certbot = [ "aistack-certbot@" ];
      files = [ ];
    };
  };
  testNoUnitWithoutNginx = {
    expr = lib.filter (lib.hasPrefix "aistack-tls") (lib.attrNames enabled.systemd.services);
    expected = [ ];
  };
  testProofByDnsOpensNoPath = {
    expr =
      (with' (served providers.dns)).services.nginx.virtualHosts.aistack-http.locations
      ? "^~ /.well-known/acme-challenge/";
    expected = false;
  };
  testStagingServer = {
    expr =
      let
        inherit
          (with' (
            served (
              providers.acme
              // {
                acme = providers.acme.acme // {
                  staging = true;
                };
              }
            )
          ))
          security
          services
          ;
      in
      lib.hasInfix "staging" security.acme.certs."kb.test".server
      && services.aistack.settings.tls.staging;
    expected = true;
  };
  testAliasesAreCertified = {
    expr =
      (evaluate [
        self.nixosModules.default
        {
          services.aistack = served providers.acme // {
            enable = true;
          };
        }
        { services.nginx.virtualHosts."kb.test".serverAliases = [ "b.test" ]; }
      ]).security.acme.certs."kb.test".extraDomainNames;
    expected = [ "b.test" ];
  };
  testTheRedirectKeepsThePort = {
    expr =
      (evaluate [
        self.nixosModules.default
        {
          services.aistack = served { } // {
            enable = true;
            openFirewall = true;
          };
        }
        { services.nginx.defaultSSLListenPort = 8443; }
      ]).services.nginx.virtualHosts.aistack-http.locations."/".return;
    expected = "308 https://$host:8443$request_uri";
  };
}
