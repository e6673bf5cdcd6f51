# A certificate by certbot, for those who know it. `aistack tls renew` decides when it is due, starts
# certbot's unit and deploys what it has left; a deployment that failed is tried again, which a hook
# of certbot's is not.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aistack;
  own = cfg.tls;
  inherit (own) acme certbot;
  hardening = import ../lib/hardening.nix { inherit lib; };
  systemctl = lib.getExe' config.systemd.package "systemctl";

  state = "/var/lib/aistack-certbot";
  webroot = "/var/lib/aistack-challenge";
  # By it nginx reads the answers, and the deployer the certificate.
  inherit (config.services.nginx) group;

  start = how: [
    systemctl
    "start"
    "aistack-certbot@${how}.service"
  ];
  arguments = [
    "certonly"
    # The instance is how to decide: keep-until-expiring or force-renewal.
    "--%i"
    "--non-interactive"
    "--agree-tos"
    "--config-dir=${state}"
    "--work-dir=${state}/work"
    "--logs-dir=${state}/log"
    "--max-log-backups=10"
    "--server=${acme.server}"
    "--webroot"
    "--webroot-path=${webroot}"
    "--cert-name=aistack"
    "--renew-with-new-domains"
  ]
  ++ map (name: "--domain=${name}") own.names
  ++ (
    if acme.email != null then [ "--email=${acme.email}" ] else [ "--register-unsafely-without-email" ]
  )
  ++ lib.optional (acme.profile != null) "--required-profile=${acme.profile}"
  ++ certbot.extraArgs;
in
{
  options.services.aistack.tls.certbot = {
    package = lib.mkPackageOption pkgs "certbot" { };

    extraArgs = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "--key-type=rsa" ];
      description = "More arguments of {command}`certbot certonly`.";
    };
  };

  config = lib.mkIf (own.enabled && own.provider == "certbot") {
    services.aistack = {
      tls = { inherit webroot; };
      settings.tls = {
        certificate_file = "${state}/live/aistack/fullchain.pem";
        key_file = "${state}/live/aistack/privkey.pem";
        obtain_command = start "force-renewal";
      }
      # Older ones do not ask the CA when to renew (ARI), and go by 30 days.
      // lib.optionalAttrs (lib.versionAtLeast certbot.package.version "4.1") {
        ask_command = start "keep-until-expiring";
      };
    };

    systemd.services = {
      "aistack-certbot@" = {
        description = "certbot, for aistack's certificate (%i)";
        startLimitIntervalSec = 0;
        environment = lib.mkIf (acme.caFile != null) { REQUESTS_CA_BUNDLE = "${acme.caFile}"; };
        serviceConfig =
          hardening.sandbox [
            hardening.relax.network
            # Of a renewal alone.
            hardening.relax.chown
          ]
          // {
            Type = "oneshot";
            Slice = "aistack.slice";
            User = "aistack-certbot";
            Group = group;
            StateDirectory = [
              "aistack-certbot"
              "aistack-challenge"
            ];
            StateDirectoryMode = "0750";
            UMask = "0027";
            ExecStart = "${lib.getExe certbot.package} ${lib.escapeShellArgs arguments}";
            # certbot makes these for itself alone, and keeps what it finds.
            ExecStartPost = "${pkgs.coreutils}/bin/chmod -R g+rX ${state}/live ${state}/archive";
            TimeoutStartSec = "15min";
          };
      };

      # On a new host at once: nginx has a certificate of the host's own until then.
      aistack-tls-renew = {
        wantedBy = [ "multi-user.target" ];
        wants = [ "network-online.target" ];
        # After it, though it is wanted by it: a boot does not wait for the CA.
        after = [
          "network-online.target"
          "multi-user.target"
        ];
      };
    };

    users.users.aistack-certbot = {
      isSystemUser = true;
      inherit group;
      description = "certbot for aistack";
    };
  };
}
