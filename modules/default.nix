# services.aistack. Importing this changes nothing on a host: every file below waits for
# services.aistack.enable.
#
# Data flows one way: options -> settings file -> units. A part's folder holds its options, its
# assertions and its units; lib/ holds what all parts share.
{
  imports = [
    ./core
    ./stores
    ./embeddings
    ./aidb
    ./coordinator
    ./gc
    ./backups
    ./health
    ./issues
    ./monitoring
    ./nginx
    ./tls
  ];
}
