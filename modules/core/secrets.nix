# What the administrator does not supply is made on the host, once: the key of the local Qdrant
# server and the first admin key.
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
  makesAdminKey = cfg.adminKeyFile == null;
  qdrant = cfg.qdrant.createLocally;
  makesQdrantKey = qdrant && cfg.qdrant.apiKeyFile == null;

  script = ''
    cd "$STATE_DIRECTORY"

    # A file appears whole or not at all, whenever this is killed.
    put() {
      cat > ".$1.new"
      sync ".$1.new"
      mv ".$1.new" "$1"
    }
  ''
  + lib.optionalString makesQdrantKey ''

    if [[ ! -s qdrant-api-key ]]; then
      od --address-radix=n --format=x1 --read-bytes=32 /dev/urandom | tr -d ' \n' | put qdrant-api-key
    fi
  ''
  + lib.optionalString qdrant ''

    # Qdrant takes its key from the environment only.
    key=$(< ${if makesQdrantKey then "qdrant-api-key" else ''"$CREDENTIALS_DIRECTORY/qdrant-api-key"''})
    if [[ ! $key =~ ^[A-Za-z0-9._~+/=-]+$ ]]; then
      echo "services.aistack.qdrant.apiKeyFile: the key must be one line of letters, digits and ._~+/=-" >&2
      exit 1
    fi
    printf 'QDRANT__SERVICE__API_KEY=%s\n' "$key" > "$RUNTIME_DIRECTORY/qdrant.env"
  ''
  + lib.optionalString makesAdminKey ''

    # Made once: who moves the file to a password store and deletes it gets no second key.
    if [[ ! -e admin-key.made ]]; then
      ${lib.getExe cfg.package} keys generate | put admin-key
      : > admin-key.made
      echo "the first admin key lies in ${state}/admin-key, for root alone: store it safely"
    fi
  '';
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

      A key that is revoked stays so, whatever this file holds.
    '';
  };

  config = lib.mkIf cfg.enable {
    services.aistack.credentials = lib.mkIf makesQdrantKey {
      qdrant-api-key = "${state}/qdrant-api-key";
    };

    systemd.services.aistack-secrets = {
      description = "aistack secrets that the administrator does not supply";
      # Not part of the target: what it made stays for Qdrant while our services are stopped.
      wantedBy = [ "aistack.target" ];
      before = lib.optional qdrant "qdrant.service";
      requiredBy = lib.optional qdrant "qdrant.service";
      path = [ pkgs.coreutils ];
      enableStrictShellChecks = true;
      inherit script;

      serviceConfig = hardening.sandbox [ hardening.relax.root ] // {
        Type = "oneshot";
        RemainAfterExit = true;
        Slice = "aistack.slice";
        StateDirectory = "aistack-secrets";
        StateDirectoryMode = "0700";
        RuntimeDirectory = "aistack-secrets";
        RuntimeDirectoryMode = "0700";
        LoadCredential = lib.optional (qdrant && !makesQdrantKey) "qdrant-api-key:${cfg.qdrant.apiKeyFile}";
      };
    };
  };
}
