# What the checks of backups share: a node with an SFTP server for repositories, and the repository
# of a node that uses it.
{
  # The name "store", for whoever has the key of the user kb.
  store = {
    services.openssh = {
      enable = true;
      settings.PasswordAuthentication = false;
    };
    users.users.kb = {
      isNormalUser = true;
      home = "/srv/kb";
    };
  };

  repository = {
    kind = "sftp";
    host = "store";
    user = "kb";
    path = "/srv/kb/backup";
    privateKeyFile = "/root/store-key";
    knownHostsFile = "/etc/store-hosts";
  };

  # For the test script: what an administrator does once to let a host in.
  functions = ''
    def let_in(client, store):
        """Give the client a key of its own for the store, and the store's host key."""
        client.succeed(
            "ssh-keygen -q -t ecdsa -m PEM -N \"\" -f /root/store-key",
            "ssh-keyscan store > /etc/store-hosts 2> /dev/null",
        )
        public = client.succeed("cat /root/store-key.pub").strip()
        store.succeed(
            "install -d -m 700 -o kb /srv/kb/.ssh",
            f"echo '{public}' >> /srv/kb/.ssh/authorized_keys",
            "chown -R kb /srv/kb/.ssh && chmod 600 /srv/kb/.ssh/authorized_keys",
        )
  '';
}
