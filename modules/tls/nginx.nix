# How nginx speaks TLS, the same for every provider.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.tls;
  vhost = config.services.nginx.virtualHosts.${cfg.nginx.domain};

  encrypted = lib.filter (l: l.ssl) vhost.listen;
  suffix = lib.optionalString (cfg.nginx.httpsPort != 443) ":${toString cfg.nginx.httpsPort}";
in
{
  options.services.aistack = {
    tls.hstsMaxAge = lib.mkOption {
      type = lib.types.nullOr lib.types.ints.unsigned;
      default = null;
      example = 31536000;
      description = ''
        Seconds for which browsers shall ask this host by HTTPS only (HSTS). They hold on to it: set
        it when the certificate is one that they trust. With `0` they forget it, with `null` it is
        not spoken of.
      '';
    };

    tls.servedAt = lib.mkOption {
      type = lib.types.str;
      readOnly = true;
      internal = true;
      default = "${cfg.nginx.localAddress}:${toString cfg.nginx.httpsPort}";
      defaultText = lib.literalMD "the address and the port";
      description = "Where this host reaches its own virtual host.";
    };

    tls.webroot = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      internal = true;
      description = "Folder from which nginx answers what a CA asks (HTTP-01).";
    };

    nginx.localAddress = lib.mkOption {
      type = lib.types.str;
      default = "127.0.0.1";
      example = "192.168.10.2";
      description = ''
        Address at which this host reaches its own virtual host, to see which certificate is served.
        Set it where nginx listens on other addresses only.
      '';
    };

    nginx.httpPort = lib.mkOption {
      type = lib.types.port;
      readOnly = true;
      internal = true;
      default = config.services.nginx.defaultHTTPListenPort;
      defaultText = lib.literalExpression "config.services.nginx.defaultHTTPListenPort";
      description = "Port of nginx that leads to HTTPS.";
    };

    nginx.httpsPort = lib.mkOption {
      type = lib.types.port;
      readOnly = true;
      internal = true;
      default =
        if encrypted != [ ] then (lib.head encrypted).port else config.services.nginx.defaultSSLListenPort;
      defaultText = lib.literalExpression "config.services.nginx.defaultSSLListenPort";
      description = "Port of nginx that serves.";
    };
  };

  config = lib.mkIf own.enabled {
    assertions = [
      {
        assertion = !vhost.enableACME && vhost.useACMEHost == null;
        message = ''
          services.nginx.virtualHosts."${cfg.nginx.domain}" has enableACME or useACMEHost, but its
          certificate is aistack's to bring. Set services.aistack.tls.provider = "acme" in their place.
        '';
      }
    ];

    services.nginx.virtualHosts = {
      ${cfg.nginx.domain} = {
        onlySSL = true;
        sslCertificate = "${own.folder}/live/fullchain.pem";
        sslCertificateKey = "${own.folder}/live/privkey.pem";
        extraConfig = ''
          ssl_protocols TLSv1.2 TLSv1.3;
          # CAs have switched it off.
          ssl_stapling off;
        ''
        + lib.optionalString (lib.versionAtLeast config.services.nginx.package.version "1.27.4") ''
          # A reload does not close a kept connection under a request that is on its way.
          keepalive_min_timeout 5s;
        ''
        + lib.optionalString (own.hstsMaxAge != null) ''
          add_header Strict-Transport-Security "max-age=${toString own.hstsMaxAge}" always;
        '';
      };

      aistack-http = {
        serverName = cfg.nginx.domain;
        inherit (vhost) serverAliases listenAddresses;
        locations = {
          # 308: a POST stays one.
          "/".return = "308 https://$host${suffix}$request_uri";
          "^~ /.well-known/acme-challenge/" = lib.mkIf (own.webroot != null) { root = own.webroot; };
        };
      };
    };
  };
}
