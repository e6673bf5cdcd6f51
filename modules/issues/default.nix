# The issue tracker: failed units, exceptions and what others report, in PostgreSQL.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.issues;
  at = "services.aistack.issues";
  inherit (own) notify;
  credentials = import ../lib/credentials.nix { inherit lib; };
  given = import ../lib/given.nix { inherit lib; };
  handler = "aistack-issue@";

  base = import ../lib/stack-unit.nix { inherit config lib pkgs; } {
    name = "issues";
    # What it tells of may be just what it would need.
    startsNothing = true;
  };

  secretFile =
    description:
    lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      inherit description;
    };
in
{
  imports = [ ./on-failure.nix ];

  options.services.aistack.issues = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether failures of our units, and of {option}`${at}.units`, are recorded as issues, each
        with the end of its journal, and whether events wait in a spool while PostgreSQL is away.
        {command}`aistack issues` and the HTTP API work without it, too.
      '';
    };

    units = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = map (lib.removeSuffix ".service") (
        lib.filter (name: !lib.hasPrefix "aistack-" name) cfg.settings.host.units
      );
      defaultText = lib.literalMD "the stores, the model, nginx, the ACME client and monitoring, where they run on this host";
      example = [ "borgbackup-job-home" ];
      description = "Other services of this host whose failures are recorded, without `.service`.";
    };

    maxIssues = lib.mkOption {
      type = lib.types.ints.between 100 10000000;
      default = 100000;
      description = ''
        Number of issues above which those go that are least worth keeping: ended ones first, then
        those seen longest ago. Pinned ones stay, and so do critical ones that nobody has ended.
      '';
    };

    notify = {
      webhookUrlFile = secretFile ''
        A file with a URL to which new, regressed and spiking issues are posted as JSON. The URL may
        hold a token.
      '';

      ntfyUrlFile = secretFile ''
        A file with the URL of a topic of [ntfy](https://ntfy.sh) that is told of such issues.
      '';

      ntfyTokenFile = secretFile "A file with an access token for {option}`${at}.notify.ntfyUrlFile`.";

      mailTo = lib.mkOption {
        type = lib.types.nullOr lib.types.str;
        default = null;
        example = "ops@example.org";
        description = "Address that is told of such issues by mail.";
      };

      mailFrom = lib.mkOption {
        type = lib.types.str;
        default = "aistack@${config.networking.fqdnOrHostName}";
        defaultText = lib.literalExpression ''"aistack@''${config.networking.fqdnOrHostName}"'';
        description = "Sender of that mail.";
      };

      sendmail = lib.mkOption {
        type = lib.types.path;
        default = lib.getExe' pkgs.msmtp "sendmail";
        defaultText = lib.literalExpression ''lib.getExe' pkgs.msmtp "sendmail"'';
        description = ''
          Program that takes a message on its standard input, as {command}`sendmail -t` does. It runs
          in the sandbox of the services: one that needs set-uid or set-gid rights, as Postfix's does,
          cannot work there. The default reads {file}`/etc/msmtprc`, see
          {option}`programs.msmtp.enable`.
        '';
      };

      perHour = lib.mkOption {
        type = lib.types.ints.between 1 1000;
        default = 20;
        description = "Most notifications in an hour, of all hosts that share the database.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = notify.ntfyTokenFile != null -> notify.ntfyUrlFile != null;
        message = "${at}.notify.ntfyTokenFile is set, but ntfyUrlFile is null: name the topic, too.";
      }
    ];

    services.aistack = {
      credentials = given {
        issues-webhook-url = notify.webhookUrlFile;
        issues-ntfy-url = notify.ntfyUrlFile;
        issues-ntfy-token = notify.ntfyTokenFile;
      };

      settings.issues = given {
        most = own.maxIssues;
        spool = if own.enable then "/var/lib/aistack-issues" else null;
        notify = given {
          per_hour = notify.perHour;
          mail_from = notify.mailFrom;
          mail_to = notify.mailTo;
          sendmail = "${notify.sendmail}";
          webhook_url_file = credentials.reference "issues-webhook-url" notify.webhookUrlFile;
          ntfy_url_file = credentials.reference "issues-ntfy-url" notify.ntfyUrlFile;
          ntfy_token_file = credentials.reference "issues-ntfy-token" notify.ntfyTokenFile;
        };
      };
    };

    systemd.services.${handler} = lib.mkIf own.enable (
      base
      // {
        description = "aistack issue of the failed unit %i";
        # systemctl and journalctl.
        path = [ config.systemd.package ];
        restartIfChanged = false;
        # A unit that fails again and again is told of each time: it is one issue with a count.
        startLimitIntervalSec = 0;

        serviceConfig = base.serviceConfig // {
          Type = "oneshot";
          ExecStart = "${lib.getExe cfg.package} issues record --unit %i";
          SupplementaryGroups = cfg.socketGroups ++ [ "systemd-journal" ];
          # A secret whose file is missing may be why the unit failed: then it is blank here.
          SetCredential = credentials.orBlank cfg.credentials;
          StateDirectory = "aistack-issues";
          StateDirectoryMode = "0700";
          TimeoutStartSec = 60;
        };
      }
    );
  };
}
