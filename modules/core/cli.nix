# The command `aistack` for the host's administrator.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  hardening = import ../lib/hardening.nix { inherit lib; };

  # The command works as the services do: same user, same credentials, same sandbox, no rights of
  # root. Files to import must therefore be readable by the user aistack.
  sandbox =
    relaxations:
    lib.mapAttrs (_: value: value.content) (
      hardening.sandbox (
        relaxations
        ++ [
          {
            # What is imported may lie in /tmp or in a home, where its owner lets others read it.
            PrivateTmp = false;
            ProtectHome = "read-only";
          }
        ]
      )
    );
  ours =
    sandbox [ hardening.relax.network ]
    // {
      User = "aistack";
      Group = "aistack";
      SupplementaryGroups = cfg.socketGroups;
      LoadCredential = cfg.loadCredential;
    }
    // lib.optionalAttrs cfg.issues.enable {
      StateDirectory = "aistack-issues";
      StateDirectoryMode = "0700";
    };
  # The certificate's folder and the reload of nginx are root's; still it has no capability.
  roots =
    sandbox [
      hardening.relax.network
      hardening.relax.root
    ]
    // {
      Group = config.services.nginx.group;
      # systemd-run knows only yes and no.
      PrivateUsers = false;
      StateDirectory = "aistack-tls";
      StateDirectoryMode = "0755";
      LoadCredential = cfg.loadCredential ++ cfg.tls.loadCredential;
    };

  text = value: if lib.isBool value then lib.boolToYesNo value else toString value;
  arguments =
    properties:
    lib.concatMap (name: map (one: "--property=${name}=${text one}") (lib.toList properties.${name})) (
      lib.attrNames properties
    );

  command = pkgs.writeShellApplication {
    name = "aistack";
    runtimeInputs = [
      pkgs.coreutils
      pkgs.util-linux
    ];
    text = ''
      # Nothing of ours needs a service for these.
      case "''${1:-} ''${2:-}" in
        " "* | "-h "* | "--help "* | "--version "* | "config "* | "keys generate")
          exec ${lib.getExe cfg.package} "$@"
          ;;
      esac
      if ((EUID != 0)); then
        echo "aistack: run this as root: the stack's credentials are root's (sudo aistack ...)" >&2
        exit 77
      fi
      if ! runuser -u aistack -- test -x .; then
        echo "aistack: the user aistack cannot enter $PWD: relative paths begin at /" >&2
        cd /
      fi
      properties=(${lib.escapeShellArgs (arguments ours)})
      ${lib.optionalString cfg.tls.enabled ''
        case "''${1:-} ''${2:-}" in
          "tls status" | "tls renew" | "tls deploy")
            properties=(${lib.escapeShellArgs (arguments roots)})
            ;;
        esac
      ''}
      terminal=--pipe
      if [[ -t 0 && -t 1 ]]; then
        terminal=--pty
      fi
      # Without a description of our own, systemd would log all arguments.
      exec ${lib.getExe' config.systemd.package "systemd-run"} \
        --quiet --wait --collect --service-type=exec --expand-environment=no "$terminal" \
        --description="aistack $1, run by an administrator" \
        --slice=aistack.slice --working-directory="$PWD" --setenv=LANG=C.UTF-8 \
        --setenv=AISTACK_CONFIG=/etc/aistack/config.toml \
        --setenv=PATH=${lib.makeBinPath [ config.systemd.package ]} \
        "''${properties[@]}" \
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
