# A certificate that the administrator supplies.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.tls;
  at = "services.aistack.tls";
  given = own.certificateFile != null || own.certificateKeyFile != null;
in
{
  imports =
    map
      (
        name:
        lib.mkRenamedOptionModule [ "services" "aistack" "nginx" name ] [ "services" "aistack" "tls" name ]
      )
      [
        "certificateFile"
        "certificateKeyFile"
      ];

  options.services.aistack.tls = {
    certificateFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/kb.example.org.pem";
      description = ''
        The certificate with its chain, in PEM, for the provider `files`; only root need read it. A
        new one in its place is taken within twelve hours, or at once by
        {command}`systemctl restart aistack-tls`.
      '';
    };

    certificateKeyFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/kb.example.org.key";
      description = "The certificate's private key, in PEM, not encrypted; only root need read it.";
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.enable {
      assertions = [
        {
          assertion = (own.certificateFile == null) == (own.certificateKeyFile == null);
          message = "${at}.certificateFile and ${at}.certificateKeyFile belong together: set both or neither.";
        }
        {
          assertion = given -> own.provider == "files";
          message = ''
            ${at}.certificateFile (${toString own.certificateFile}) is set, but ${at}.provider is
            "${own.provider}": it would not be used. Set ${at}.provider = "files", or take it out.
          '';
        }
        {
          assertion = own.provider == "files" -> given;
          message = ''
            ${at}.provider is "files", but there are none: set ${at}.certificateFile and
            ${at}.certificateKeyFile.
          '';
        }
      ];
    })

    (lib.mkIf (own.enabled && own.provider == "files" && given) {
      services.aistack = {
        settings.tls = {
          certificate_file = "credential:tls-certificate";
          key_file = "credential:tls-key";
        };
        tls.credentials = {
          tls-certificate = own.certificateFile;
          tls-key = own.certificateKeyFile;
        };
      };
    })
  ];
}
