# The knowledge base of this host. The example host of aistack shows all its parts.
{
  services.aistack = {
    enable = true;

    # HTTPS for your network, with a certificate of this host's own authority:
    # /var/lib/aistack-tls/ca.pem, which clients must trust. tls.provider = "acme" gets one that all do.
    nginx = {
      enable = true;
      domain = "kb.example.org"; # CHANGE
    };
    openFirewall = true;

    # CHANGE: name a place off this host as well, and keep a copy of
    # /var/lib/aistack-backup-key/key there: without it no backup can be read.
    backups = {
      enable = true;
      repositories.local.path = "/var/backup/aistack";
    };

    # Prometheus, alerts that become issues, and Grafana, all on loopback.
    monitoring.enable = true;
  };
}
