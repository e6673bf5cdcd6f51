# A host that serves a knowledge base to its network. Copy it and change what is marked.
{
  # CHANGE: the name under which clients reach this host.
  networking.hostName = "kb";

  services.aistack = {
    enable = true;

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

    # Prometheus, alerts that become issues, and dashboards: ssh -L 3000:127.0.0.1:3000 to this host,
    # and see docs/how-to/monitor.md. Remote copies of it: monitoring.prometheus.remoteWriteUrl.
    monitoring = {
      enable = true;
      # The journal as well, to be searched in Grafana.
      # logs.enable = true;
    };

    # Embeddings by any OpenAI-compatible endpoint; without them search goes by words.
    # embeddings = {
    #   endpoint = "http://127.0.0.1:11434/v1";
    #   model = "nomic-embed-text";
    #   dimension = 768;
    # };

    # Everything else of the settings file, checked while the system builds.
    settings.limits = {
      document_bytes = 2 * 1024 * 1024;
      body_bytes = 5 * 1024 * 1024;
    };
  };

  # CHANGE: what your machine needs to boot.
  nixpkgs.hostPlatform = "x86_64-linux";
  boot.loader.grub.device = "/dev/sda";
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };

  # The release that was installed first; see its option before changing it.
  system.stateVersion = "26.05";
}
