# A host with every part on, and every secret given that can be: what the checks of secrets and of
# exposure look at. What it asks of other hosts, it asks of the node `other`. `next` is the same with a
# bucket for backups, at which nobody answers: what is said of that must not tell its keys either.
#
# Which secrets there are is not said here but found: see secrets-of.nix. `given` says how those that
# an administrator supplies are made, when the node starts, so that no secret is in the store.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  folder = "/var/lib/given";
  file = name: "${folder}/${name}";
  aistack = lib.getExe config.services.aistack.package;
  openssl = lib.getExe pkgs.openssl;
  word = "${openssl} rand -hex 20";

  # Name -> the command that prints such a secret.
  given = {
    # Of nothing.
    canary = word;
    admin-key = "${aistack} keys generate";
    backup-key = "${aistack} backup key-generate";
    grafana-password = word;
    grafana-secret = word;
    headers = ''printf 'X-Collector-Token: %s\n' "$(${word})"'';
    index-key = word;
    loki-token = word;
    model-key = word;
    ntfy-token = word;
    ntfy-url = ''printf 'http://other:8000/%s\n' "$(${word})"'';
    remote-write-token = word;
    s3-id = word;
    s3-secret = word;
    store-key = ''${lib.getExe' pkgs.openssh "ssh-keygen"} -q -t ecdsa -m PEM -N "" -f ${file "ssh"} && cat ${file "ssh"} && rm ${file "ssh"}'';
    team-url = ''printf 'http://other:8000/%s\n' "$(${word})"'';
    tls-certificate = ''
      ${openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10 \
        -keyout ${file "tls-key"} -subj /CN=kb.test -addext subjectAltName=DNS:kb.test 2> /dev/null'';
    tls-key = "cat ${file "tls-key"}";
    webhook-url = ''printf 'http://other:8000/%s\n' "$(${word})"'';
  };
in
{
  services.aistack = {
    enable = true;
    openFirewall = true;
    adminKeyFile = file "admin-key";
    nginx = {
      enable = true;
      domain = "kb.test";
    };
    tls = {
      provider = "files";
      certificateFile = file "tls-certificate";
      certificateKeyFile = file "tls-key";
    };
    qdrant.apiKeyFile = file "index-key";
    embeddings = {
      endpoint = "http://other:8000/v1";
      model = "of-the-check";
      dimension = 8;
      apiKeyFile = file "model-key";
    };
    issues.notify = {
      webhookUrlFile = file "webhook-url";
      ntfyUrlFile = file "ntfy-url";
      ntfyTokenFile = file "ntfy-token";
    };
    backups = {
      enable = true;
      keyFile = file "backup-key";
      repositories = {
        local.path = "/var/backup/aistack";
        away = (import ./backups.nix).repository // {
          host = "other";
          privateKeyFile = file "store-key";
        };
      };
    };
    monitoring = {
      enable = true;
      logs = {
        enable = true;
        lokiUrl = "http://other:8000";
        tokenFile = file "loki-token";
      };
      grafana = {
        adminPasswordFile = file "grafana-password";
        secretKeyFile = file "grafana-secret";
      };
      prometheus = {
        remoteWriteUrl = "http://other:8000/api/v1/write";
        remoteWriteTokenFile = file "remote-write-token";
      };
      alertmanager = {
        credentialFiles.team-url = file "team-url";
        settings = {
          receivers = [
            {
              name = "team";
              webhook_configs = [ { url_file = "/run/credentials/alertmanager.service/team-url"; } ];
            }
          ];
          route.routes = [ { receiver = "team"; } ];
        };
      };
      tracing = {
        enable = true;
        endpoint = "http://other:8000";
        headersFile = file "headers";
      };
    };
    settings = {
      # What talks most, tells most.
      log.level = "debug";
      rate_limits.per_minute = 600;
      # Where a repository is gone, everything waits as long for it.
      backup.archive_timeout_s = 15;
    };
  };

  system.activationScripts.given = {
    deps = [ "specialfs" ];
    text = ''
      umask 077
      mkdir -p ${folder}
      ${lib.concatStrings (
        lib.mapAttrsToList (name: command: ''
          if [ ! -e ${file name}.made ]; then
            { ${command}; } > ${folder}/.new && mv ${folder}/.new ${file name}
            : > ${file name}.made
          fi
        '') given
      )}
      umask 022
    '';
  };

  specialisation.next.configuration.services.aistack = {
    settings.log.format = "text";
    backups.repositories.bucket = {
      kind = "s3";
      path = "/kb";
      host = "other";
      bucket = "kb";
      keyIdFile = file "s3-id";
      keySecretFile = file "s3-secret";
    };
  };

  networking.hosts."127.0.0.1" = [ "kb.test" ];
}
