# The key that encrypts every repository: the administrator's, or made on the host, once.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.backups;
  hardening = import ../lib/hardening.nix { inherit lib; };
  state = "/var/lib/aistack-backup-key";
  generated = own.keyFile == null;
in
{
  options.services.aistack.backups.keyFile = lib.mkOption {
    type = lib.types.nullOr lib.types.externalPath;
    default = null;
    example = "/run/secrets/aistack-backup-key";
    description = ''
      A file with the key of all repositories, made by {command}`aistack backup key-generate`; only
      root need read it. With `null`, one is made on the host and lies in {file}`${state}/key`.

      Without the key no backup can be read. Keep a copy off the host, and try it with
      {command}`aistack backup key-check`. A key cannot be changed: another one needs other
      repositories.
    '';
  };

  config = lib.mkIf (cfg.enable && own.enable) {
    services.aistack = {
      backups.credentials.backup-key = if generated then "${state}/key" else own.keyFile;
      settings.backup.key_file = "credential:backup-key";
    };

    systemd.services.aistack-backup-key = lib.mkIf generated {
      description = "Key of aistack's backups";
      wantedBy = [ "postgresql.service" ];
      before = [ "postgresql.service" ];
      path = [ pkgs.coreutils ];
      enableStrictShellChecks = true;
      script = ''
        cd "$STATE_DIRECTORY"
        if [[ -s key ]]; then
          # Also where a crash came between the two.
          : > key.made
          exit 0
        fi
        if [[ -e key.made ]]; then
          echo "<3>${state}/key is gone, and what was backed up needs it: put your copy there." \
            "Only if there is no backup to lose: delete key.made there, and another one is made" >&2
          exit 1
        fi
        od --address-radix=n --format=x1 --read-bytes=32 /dev/urandom | tr -d ' \n' > .key.new
        sync .key.new
        mv .key.new key
        : > key.made
        sync . key.made
        echo "<4>COPY ${state}/key OFF THIS HOST NOW: without it no backup can be read."
        echo "<4>Then try the copy: aistack backup key-check FILE"
      '';

      serviceConfig = hardening.sandbox [ hardening.relax.root ] // {
        Type = "oneshot";
        RemainAfterExit = true;
        Slice = "aistack.slice";
        StateDirectory = "aistack-backup-key";
        StateDirectoryMode = "0700";
      };
    };
  };
}
