# The settings file: one TOML document, written here, checked by the program that reads it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  settingsFile = import ../lib/settings-file.nix { inherit lib pkgs cfg; };
in
{
  options.services.aistack.settings = lib.mkOption {
    type = lib.types.submodule {
      freeformType = (pkgs.formats.toml { }).type;

      options.limits.body_bytes = lib.mkOption {
        type = lib.types.ints.between 1024 (1024 * 1024 * 1024);
        default = 2 * 1024 * 1024;
        description = "Longest body of a request in bytes, for AIDB and for nginx before it.";
      };

      options.rate_limits = {
        enabled = lib.mkOption {
          type = lib.types.bool;
          default = true;
          description = "Whether clients are limited, here and by nginx.";
        };
        per_minute = lib.mkOption {
          type = lib.types.ints.positive;
          default = 60;
          description = "What one key may ask in a minute.";
        };
        per_hour = lib.mkOption {
          type = lib.types.ints.positive;
          default = 1000;
          description = "What one key may ask in an hour.";
        };
      };

      options.log = {
        level = lib.mkOption {
          type = lib.types.enum [
            "debug"
            "info"
            "warning"
            "error"
          ];
          default = "info";
          description = "The least severe messages that reach the journal.";
        };
        format = lib.mkOption {
          type = lib.types.enum [
            "json"
            "text"
          ];
          default = "json";
          description = "One JSON object a line, for programs, or text, for people.";
        };
      };
    };
    default = { };
    example = lib.literalExpression ''
      {
        chunking.size = 1600;
        limits.document_bytes = 4 * 1024 * 1024;
        postgres.pool_max = 20;
      }
    '';
    description = ''
      The settings file, {file}`/etc/aistack/config.toml`. Its keys are described in the reference
      "Configuration", and by {command}`aistack config schema`. What an option of
      `services.aistack` sets may not be set here too: two definitions fail the build.

      An unknown key or a value out of range fails the build, before anything on the host changes.
      Secrets have no place here, since the file lies in the world-readable store: give them to the
      options that end in `File`.
    '';
  };

  config = lib.mkIf cfg.enable {
    environment.etc."aistack/config.toml".source = settingsFile "aistack-config.toml" cfg.settings;

    # Where the build could not run the program (cross compilation), this is the first look at the
    # file; it comes before anything stops.
    system.preSwitchChecks.aistack = ''
      ${lib.getExe cfg.package} config check \
        "''${1:-/run/current-system}/etc/aistack/config.toml" >&2
    '';
  };
}
