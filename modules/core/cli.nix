# The command `aistack` for the host's administrator.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;

  # The command works as the services do: same user, same credentials, no rights of root. Files to
  # import must therefore be readable by the user aistack.
  sandbox = [
    "User=aistack"
    "Group=aistack"
    "NoNewPrivileges=yes"
    "ProtectSystem=strict"
    "ProtectHome=read-only"
    "PrivateDevices=yes"
    "ProtectKernelTunables=yes"
    "ProtectControlGroups=yes"
    "RestrictSUIDSGID=yes"
    "CapabilityBoundingSet="
  ]
  ++ map (group: "SupplementaryGroups=${group}") cfg.aidb.extraGroups
  ++ map (credential: "LoadCredential=${credential}") cfg.loadCredential;

  command = pkgs.writeShellApplication {
    name = "aistack";
    text = ''
      # Nothing of ours needs a service for these.
      case "''${1:-}" in
        "" | -h | --help | --version | config)
          exec ${lib.getExe cfg.package} "$@"
          ;;
      esac
      if ((EUID != 0)); then
        echo "aistack: run this as root: the stack's credentials are root's (sudo aistack ...)" >&2
        exit 77
      fi
      terminal=--pipe
      if [[ -t 0 && -t 1 ]]; then
        terminal=--pty
      fi
      exec ${lib.getExe' config.systemd.package "systemd-run"} \
        --quiet --wait --collect --service-type=exec --expand-environment=no "$terminal" \
        --slice=aistack.slice --same-dir --setenv=LANG=C.UTF-8 \
        --setenv=AISTACK_CONFIG=/etc/aistack/config.toml \
        ${lib.concatMapStringsSep " \\\n  " (line: "--property=${lib.escapeShellArg line}") sandbox} \
        -- ${lib.getExe cfg.package} "$@"
    '';
  };
in
{
  config = lib.mkIf cfg.enable {
    environment.systemPackages = [
      (lib.hiPrio command)
      # Shell completions.
      cfg.package
    ];
  };
}
