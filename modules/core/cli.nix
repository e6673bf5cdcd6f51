# The command `aistack` for the host's administrator.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  credentials = import ../lib/credentials.nix { inherit lib; };
  hardening = import ../lib/hardening.nix { inherit lib; };
  backups = import ../backups/unit.nix { inherit config lib pkgs; };
  tls = import ../tls/unit.nix { inherit config lib; };

  # What is imported may lie in /tmp or in a home, where its owner lets others read it.
  seesFiles = {
    PrivateTmp = false;
    ProtectHome = "read-only";
  };
  # The command works as the services do: same user, same credentials, same sandbox, no rights of
  # root. Files to import must therefore be readable by the user aistack.
  asTheServices =
    hardening.sandbox [
      hardening.relax.network
      seesFiles
    ]
    // {
      Slice = "aistack.slice";
      User = "aistack";
      Group = "aistack";
      SupplementaryGroups = cfg.socketGroups;
      LoadCredential = credentials.load cfg.credentials;
    }
    // lib.optionalAttrs cfg.issues.enable {
      StateDirectory = "aistack-issues";
      StateDirectoryMode = "0700";
    };
  forCertificates =
    tls.deployer [
      hardening.relax.network
      seesFiles
    ]
    // {
      # systemd-run knows only yes and no.
      PrivateUsers = false;
    };

  text = value: if lib.isBool value then lib.boolToYesNo value else toString value;
  # For systemd-run, as words of a bash array.
  arguments =
    properties:
    lib.concatLines (
      lib.concatLists (
        lib.mapAttrsToList (
          name: value: map (one: "--property=${lib.escapeShellArg "${name}=${text one}"}") (lib.toList value)
        ) (lib.mapAttrs (_: value: value.content or value) properties)
      )
    );
  way = user: properties: path: ''
    user=${user}
    path=${lib.makeBinPath ([ config.systemd.package ] ++ path)}
    properties=(
    ${arguments properties})
  '';

  # As every unit has it: a database of another locale than C does not start without.
  surroundings = lib.escapeShellArgs (
    lib.mapAttrsToList (name: value: "--setenv=${name}=${value}") (
      lib.filterAttrs (_: value: value != null) config.systemd.globalEnvironment
    )
  );

  command = pkgs.writeShellApplication {
    name = "aistack";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.util-linux
    ];
    text = ''
      config=/etc/aistack/config.toml
      case "''${1:-} ''${2:-}" in
        # Nothing of ours needs a service for these.
        " "* | "-h "* | "--help "* | "--version "* | "config "* | "mixin "* | "manual "* | "keys generate" | "backup key-generate")
          exec ${lib.getExe cfg.package} "$@"
          ;;
    ''
    + lib.optionalString cfg.backups.enable ''
      # These replace the data folder, or read a file of root's.
        "restore "* | "backup key-check")
          ${way "root" backups.root (backups.path ++ [ pkgs.util-linux ])}
          ;;
        "backup "*)
          ${way "postgres" (backups.administrator hardening.relax.network) backups.path}
          ;;
    ''
    + lib.optionalString cfg.postgresql.createLocally ''
      # This moves data folders. It may be asked before the switch, and then goes by its own settings.
      "postgres "*)
        ${way "root" backups.root (
          lib.optionals cfg.backups.enable backups.path
          ++ [
            config.services.postgresql.finalPackage
            pkgs.coreutils # pg_upgrade calls cp and rm
            pkgs.util-linux
          ]
        )}
        config=${config.environment.etc."aistack/config.toml".source}
        ;;
    ''
    + lib.optionalString cfg.tls.enabled ''
      "tls status" | "tls renew" | "tls deploy")
        ${way "root" forCertificates [ ]}
        ;;
    ''
    + ''
        *)
          ${way "aistack" asTheServices [ ]}
          ;;
      esac
      if ((EUID != 0)); then
        echo "aistack: run this as root: the stack's credentials are root's (sudo aistack ...)" >&2
        exit 77
      fi
      if ! runuser -u "$user" -- test -x "$PWD"; then
        echo "aistack: the user $user cannot enter $PWD: relative paths begin at /" >&2
        cd /
      fi
      terminal=--pipe
      if [[ -t 0 && -t 1 ]]; then
        terminal=--pty
      fi
      # Without a description of our own, systemd would log all arguments.
      exec ${lib.getExe' config.systemd.package "systemd-run"} \
        --quiet --wait --collect --service-type=exec --expand-environment=no "$terminal" \
        --description="aistack $1, run by an administrator" \
        --working-directory="$PWD" ${surroundings} --setenv=LANG=C.UTF-8 \
        --setenv=AISTACK_CONFIG="$config" --setenv=PATH="$path" \
        "''${properties[@]}" -- ${lib.getExe cfg.package} "$@"
    '';
  };
in
{
  config = lib.mkIf cfg.enable {
    environment.systemPackages = [
      (lib.hiPrio command)
      # Shell completions and manual pages.
      cfg.package
    ];
  };
}
