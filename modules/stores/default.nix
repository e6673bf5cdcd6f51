# What the stack stands on: on this host (createLocally), or elsewhere (url and a secret file).
{
  imports = [
    ./postgresql.nix
    ./postgresql-major.nix
    ./qdrant.nix
    ./qdrant-key.nix
    ./redis.nix
  ];
}
