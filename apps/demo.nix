{
  aistack,
  postgresql,
  writeShellApplication,
}:
writeShellApplication {
  name = "aistack-demo";
  # The demo starts a PostgreSQL server of its own.
  runtimeInputs = [
    aistack
    postgresql
  ];
  text = ''
    exec aistack up --docs ${../docs} "$@"
  '';
}
