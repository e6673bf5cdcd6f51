# The first admin key: made on the host, once, unless the administrator supplies it.
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

  config = lib.mkIf cfg.enable {
    systemd.services.aistack-secrets = {
      description = "aistack's first admin key";
      wantedBy = [ "aistack.target" ];
      path = [ pkgs.coreutils ];
      enableStrictShellChecks = true;
      script = lib.optionalString (cfg.adminKeyFile == null) ''
        cd "$STATE_DIRECTORY"
        # Made once: who moves the file to a password store and deletes it gets no second key.
        if [[ ! -e admin-key.made && ! -e admin-key ]]; then
          ${lib.getExe cfg.package} keys generate > .admin-key.new
          sync .admin-key.new
          mv .admin-key.new admin-key
          echo "the first admin key lies in ${state}/admin-key, for root alone: store it safely"
        fi
        : > admin-key.made
        sync . admin-key.made
      '';

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
