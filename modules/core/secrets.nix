# API keys that are made on the host: the first admin key, unless the administrator supplies it, and
# those of the host's own programs.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  hardening = import ../lib/hardening.nix { inherit lib; };
  state = "/var/lib/aistack-secrets";
in
{
  options.services.aistack.adminKeyFile = lib.mkOption {
    type = lib.types.nullOr lib.types.externalPath;
    default = null;
    example = "/run/secrets/aistack-admin-key";
    description = ''
      A file with the admin key that exists from the first start, made by
      {command}`aistack keys generate`. With `null`, one is made on the host and lies in
      {file}`${state}/admin-key`, readable by root alone; delete the file when the key is stored
      elsewhere.

      Another key in this file is made a key beside the old one: revoke that with
      {command}`aistack keys revoke`. A key that is revoked stays so, whatever this file holds.
    '';
  };

  options.services.aistack.hostKeys = lib.mkOption {
    type = lib.types.attrsOf (
      lib.types.submodule (
        { name, ... }:
        {
          options = {
            scope = lib.mkOption {
              type = lib.types.enum [
                "issues"
                "metrics"
              ];
              description = "What the key opens.";
            };
            file = lib.mkOption {
              type = lib.types.str;
              readOnly = true;
              default = "${state}/${name}-key";
              description = "Where it lies, readable by root alone.";
            };
          };
        }
      )
    );
    default = { };
    internal = true;
    description = ''
      API keys of programs of this host, by their names. Each is made where its file is missing, by
      `aistack-secrets.service`, which they wait for; systemd hands it to the program.
    '';
  };

  config = lib.mkIf cfg.enable {
    systemd.services.aistack-secrets = {
      description = "aistack's API keys that are made on this host";
      wantedBy = [ "aistack.target" ];
      path = [ pkgs.coreutils ];
      enableStrictShellChecks = true;
      script =
        # Also where there is nothing to make: systemd refuses a unit without a command, and what
        # requires it does not start either.
        ''
          cd "$STATE_DIRECTORY"
        ''
        + lib.optionalString (cfg.adminKeyFile == null || cfg.hostKeys != { }) ''
          make() {
            ${lib.getExe cfg.package} keys generate > ".$1.new"
            sync ".$1.new"
            mv ".$1.new" "$1"
          }
        ''
        + lib.optionalString (cfg.adminKeyFile == null) ''
          # Made once: who moves the file to a password store and deletes it gets no second key.
          if [[ ! -e admin-key.made && ! -e admin-key ]]; then
            make admin-key
            echo "the first admin key lies in ${state}/admin-key, for root alone: store it safely"
          fi
          : > admin-key.made
          sync . admin-key.made
        ''
        + lib.concatMapStrings (name: ''
          [[ -s ${name}-key ]] || make ${name}-key
        '') (lib.attrNames cfg.hostKeys);

      serviceConfig = hardening.sandbox [ hardening.relax.root ] // {
        Type = "oneshot";
        RemainAfterExit = true;
        Slice = "aistack.slice";
        StateDirectory = "aistack-secrets";
        StateDirectoryMode = "0700";
      };
    };
  };
}
