# The virtual host's certificate: who makes it, how it comes to nginx, when it is renewed.
#
# Whoever makes it, nginx reads it from one folder, and `aistack tls` alone writes there: it judges a
# new certificate, lets nginx test it, swaps it in by one rename and looks at what is served.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.tls;
  hardening = import ../lib/hardening.nix { inherit lib; };
  settingsFile = import ../lib/settings-file.nix { inherit lib pkgs cfg; };
  unit = import ./unit.nix { inherit config lib; };
  systemctl = lib.getExe' config.systemd.package "systemctl";
  nginx = config.systemd.services.nginx.serviceConfig;

  base = {
    path = [ config.systemd.package ];
    # Nothing starts it again and again but people, who wait for the CA.
    startLimitIntervalSec = 0;
    environment.AISTACK_CONFIG = toString (
      settingsFile "aistack-tls.toml" { inherit (cfg.settings) postgres tls; }
    );
    serviceConfig =
      unit.deployer [
        # It looks at what nginx serves, and records its runs.
        (if cfg.postgresql.createLocally then hardening.relax.loopback else hardening.relax.network)
      ]
      // {
        Type = "oneshot";
        TimeoutStartSec = "30min";
      };
  };
in
{
  imports = [
    ./acme.nix
    ./certbot.nix
    ./files.nix
    ./nginx.nix
  ];

  options.services.aistack.tls = {
    provider = lib.mkOption {
      type = lib.types.enum [
        "selfSigned"
        "acme"
        "certbot"
        "files"
      ];
      default = "selfSigned";
      description = ''
        Who makes the certificate of {option}`services.aistack.nginx.domain`, and of the virtual
        host's `serverAliases`:

        - `selfSigned`: an authority of this host's own. Clients must be told to trust it; its
          certificate lies in {file}`${own.folder}/ca.pem`, for everybody to read, and is good for
          these names only.
        - `acme`: a public or private CA, by NixOS's ACME client ({option}`security.acme`).
        - `certbot`: the same, by certbot.
        - `files`: you ({option}`services.aistack.tls.certificateFile`).
      '';
    };

    enabled = lib.mkOption {
      type = lib.types.bool;
      readOnly = true;
      internal = true;
      default = cfg.enable && cfg.nginx.enable && cfg.nginx.domain != null;
      defaultText = lib.literalMD "whether nginx serves";
      description = "Whether there is a virtual host to have a certificate.";
    };

    names = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      readOnly = true;
      internal = true;
      default = [
        cfg.nginx.domain
      ]
      ++ config.services.nginx.virtualHosts.${cfg.nginx.domain}.serverAliases;
      defaultText = lib.literalMD "the domain and the virtual host's aliases";
      description = "What the certificate is of.";
    };

    folder = lib.mkOption {
      type = lib.types.str;
      readOnly = true;
      internal = true;
      default = "/var/lib/aistack-tls";
      description = "Where nginx reads its certificate.";
    };

    credentials = lib.mkOption {
      type = lib.types.attrsOf lib.types.externalPath;
      default = { };
      internal = true;
      description = "Name of a credential of the units that deploy -> the file that holds it.";
    };
  };

  config = lib.mkIf own.enabled {
    services.aistack.settings = {
      host = {
        units = [
          "nginx.service"
          "aistack-tls.service"
          "aistack-tls-renew.service"
        ];
        timers = [ "aistack-tls-renew.timer" ];
        ports = [
          "${cfg.nginx.localAddress}:${toString cfg.nginx.httpPort}"
          own.servedAt
        ];
        jobs.tls_renew = 25;
      };
      health.certificates = [ "${cfg.nginx.domain}@${own.servedAt}" ];
      tls = {
        inherit (own) provider names folder;
        served_at = own.servedAt;
        test_command = [
          systemctl
          "start"
          "aistack-tls-test.service"
        ];
        # Not its reload: that would be a job, which waits for ours where a switch restarts both.
        reload_command = [
          systemctl
          "kill"
          "--kill-whom=main"
          "--signal=HUP"
          "nginx.service"
        ];
      };
    };

    # Root may become the user aistack anyhow; so its runs are recorded without doing that.
    services.postgresql = lib.mkIf cfg.postgresql.createLocally {
      identMap = ''
        aistack root aistack
        aistack aistack aistack
      '';
      authentication = ''
        local aistack aistack peer map=aistack
      '';
    };

    systemd.services = {
      aistack-tls = lib.recursiveUpdate base {
        description = "aistack's certificate, for nginx to read";
        # Not required: a failure here must not take other virtual hosts down.
        wantedBy = [ "nginx.service" ];
        before = [ "nginx.service" ];
        serviceConfig = {
          ExecStart = "${lib.getExe cfg.package} tls deploy";
          RemainAfterExit = true;
        };
      };

      aistack-tls-renew = lib.recursiveUpdate base {
        description = "aistack's certificate, renewed where it is due";
        after = [
          "aistack-tls.service"
          "nginx.service"
        ]
        ++ lib.optional cfg.postgresql.createLocally "postgresql.target";
        # A switch neither ends a run nor waits for one.
        restartIfChanged = false;
        serviceConfig.ExecStart = "${lib.getExe cfg.package} tls renew";
      };

      # nginx's own test, by its own user, with the new certificate where the old one is.
      aistack-tls-test = {
        description = "nginx's test of aistack's new certificate";
        startLimitIntervalSec = 0;
        serviceConfig =
          hardening.sandbox [
            # Upstreams of other virtual hosts may have names, which nginx looks up.
            hardening.relax.network
            hardening.relax.lowPorts
          ]
          // {
            Type = "oneshot";
            Slice = "aistack.slice";
            ExecStart = "${lib.head (lib.toList nginx.ExecStart)} -t";
            User = config.services.nginx.user;
            Group = config.services.nginx.group;
            SupplementaryGroups = nginx.SupplementaryGroups or [ ];
            BindReadOnlyPaths = [ "${own.folder}/next:${own.folder}/live" ];
            ReadWritePaths = nginx.ReadWritePaths or [ ];
            # nginx's: opened by the test, and not to be removed after it.
            RuntimeDirectory = "nginx";
            RuntimeDirectoryMode = "0750";
            RuntimeDirectoryPreserve = true;
            CacheDirectory = "nginx";
            CacheDirectoryMode = "0750";
            LogsDirectory = "nginx";
            LogsDirectoryMode = "0750";
            UMask = "0027";
          };
      };
    };

    systemd.timers.aistack-tls-renew = {
      description = "aistack's certificate, renewed where it is due";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = "*-*-* 00,12:00:00";
        Persistent = true;
        # Each host at its own time, so that a CA is not asked by all at once.
        RandomizedDelaySec = "6h";
        FixedRandomDelay = true;
      };
    };
  };
}
