# The API key of the Qdrant on this host, in the one form that Qdrant takes: its environment.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  hardening = import ../lib/hardening.nix { inherit lib; };
  state = "/var/lib/aistack-qdrant-key";
  generated = cfg.qdrant.apiKeyFile == null;
in
{
  config = lib.mkIf (cfg.enable && cfg.qdrant.createLocally) {
    services.aistack.credentials = lib.mkIf generated { qdrant-api-key = "${state}/key"; };

    systemd.services = {
      # Nothing of aistack's package is in this unit, and Qdrant only wants it: an upgrade of ours
      # does not restart Qdrant. Without the file Qdrant does not start.
      aistack-qdrant-key = {
        description = "API key of the local Qdrant";
        wantedBy = [ "qdrant.service" ];
        before = [ "qdrant.service" ];
        path = [ pkgs.coreutils ];
        enableStrictShellChecks = true;
        script =
          lib.optionalString generated ''
            cd "$STATE_DIRECTORY"
            if [[ ! -s key ]]; then
              od --address-radix=n --format=x1 --read-bytes=32 /dev/urandom | tr -d ' \n' > .key.new
              sync .key.new
              mv .key.new key
              sync .
            fi
            key=$(< key)
          ''
          + lib.optionalString (!generated) ''
            key=$(< "$CREDENTIALS_DIRECTORY/key")
            if [[ ! $key =~ ^[A-Za-z0-9._~+/=-]+$ ]]; then
              echo "services.aistack.qdrant.apiKeyFile: the key must be one line of letters, digits and ._~+/=-" >&2
              exit 1
            fi
          ''
          + ''
            printf 'QDRANT__SERVICE__API_KEY=%s\n' "$key" > "$RUNTIME_DIRECTORY/qdrant.env"
          '';

        serviceConfig = hardening.sandbox [ hardening.relax.root ] // {
          Type = "oneshot";
          RemainAfterExit = true;
          Slice = "aistack.slice";
          StateDirectory = "aistack-qdrant-key";
          StateDirectoryMode = "0700";
          RuntimeDirectory = "aistack-qdrant-key";
          RuntimeDirectoryMode = "0700";
          RuntimeDirectoryPreserve = true;
          LoadCredential = lib.optional (!generated) "key:${cfg.qdrant.apiKeyFile}";
        };
      };

      qdrant.serviceConfig.EnvironmentFile = [ "/run/aistack-qdrant-key/qdrant.env" ];
    };
  };
}
