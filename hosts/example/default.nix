# A host that serves a knowledge base to its network, with every part on. Copy it, change what is
# marked, and take out what you do not want: each part is off without its own `enable`, but for those
# that are said to be on by default.
{
  # CHANGE: the name under which clients reach this host.
  networking.hostName = "kb";

  services.aistack = {
    enable = true;

    # Two of AIDB, restarted one after another, so that no switch fails a request.
    aidb.instances = 2;

    # The coordinator, which learns from agents, is on by default.
    coordinator.enable = true;

    # AIDB listens on loopback; nginx stands before it with TLS.
    nginx = {
      enable = true;
      domain = "kb.example.org"; # CHANGE
    };
    # Without this the host has an authority of its own, which clients must be told to trust.
    # tls = {
    #   provider = "acme";
    #   acme.acceptTerms = true;
    # };
    openFirewall = true;

    # Collections besides the six that always exist.
    collections.runbooks.description = "How we run our services";

    # Secrets of your own are files that root can read. With sops-nix:
    #   sops.secrets.aistack-admin = { };
    #   services.aistack.adminKeyFile = config.sops.secrets.aistack-admin.path;
    # With agenix:
    #   age.secrets.aistack-admin.file = ./aistack-admin.age;
    #   services.aistack.adminKeyFile = config.age.secrets.aistack-admin.path;
    # Without any, keys are made on the host at its first start.

    # Backups every night, encrypted, and restored for a try every week. CHANGE: add a place off this
    # host, and keep a copy of the key there as well (docs/how-to/back-up.md).
    backups = {
      enable = true;
      repositories = {
        local.path = "/var/backup/aistack";
        # away = {
        #   kind = "sftp";
        #   host = "backup.example.org";
        #   user = "kb";
        #   path = "/srv/backup/kb";
        #   privateKeyFile = "/run/secrets/backup-ssh-key";
        #   knownHostsFile = ./backup-known-hosts;
        # };
      };
    };

    # Garbage collection, every night, is on by default; what it takes can be undone for trashDays.
    gc = {
      enable = true;
      maxAgeDays = 90;
      trashDays = 14;
    };

    # A look at the host every five minutes, on by default, and issues of what fails. Without somebody
    # to tell they wait in `aistack issues list` and the console.
    health.enable = true;
    issues = {
      enable = true;
      # notify.ntfyUrlFile = "/run/secrets/ntfy-url";
      # notify.mailTo = "ops@example.org";
    };

    # Prometheus, alerts that become issues, and dashboards: ssh -L 3000:127.0.0.1:3000 to this host,
    # and see docs/how-to/monitor.md. Remote copies of it: monitoring.prometheus.remoteWriteUrl.
    monitoring = {
      enable = true;
      # The journal as well, to be searched in Grafana.
      logs.enable = true;
      # Traces, for a collector that speaks OTLP over HTTP.
      # tracing = {
      #   enable = true;
      #   endpoint = "http://127.0.0.1:4318";
      # };
    };

    # Embeddings by any OpenAI-compatible endpoint; without them search goes by words.
    # embeddings = {
    #   endpoint = "http://127.0.0.1:11434/v1";
    #   model = "nomic-embed-text";
    #   dimension = 768;
    # };

    # Everything else of the settings file, checked while the system builds.
    settings = {
      limits = {
        document_bytes = 2 * 1024 * 1024;
        body_bytes = 5 * 1024 * 1024;
      };
      rate_limits.per_minute = 120;
    };
  };

  # CHANGE: what your machine needs to boot, and how its disks are laid out: by
  # `nixos-generate-config`, or by disko. PostgreSQL and the backups want disks of their own.
  nixpkgs.hostPlatform = "x86_64-linux";
  boot.loader.grub.device = "/dev/sda";
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };

  # The release that was installed first; see its option before changing it.
  system.stateVersion = "26.05";
}
