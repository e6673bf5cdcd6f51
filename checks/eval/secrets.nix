# Secrets: no option takes one from the store, and the check `secrets` knows all of them.
{
  lib,
  pkgs,
  self,
  evaluate,
  ...
}:
let
  options =
    (lib.evalModules {
      modules = [
        self.nixosModules.default
        { _module.check = false; }
      ];
      specialArgs = { inherit pkgs; };
    }).options.services.aistack;

  # Every option of ours that names files: its path, and its type in words.
  files = lib.filter (
    option: builtins.match ".*Files?" (lib.last option.loc) != null && !option.readOnly
  ) (lib.optionAttrSetToDocList options);
  name = option: lib.concatStringsSep "." (lib.drop 2 option.loc);

  # What is no secret.
  public = [
    "backups.repositories.<name>.caFile"
    "backups.repositories.<name>.knownHostsFile"
    "monitoring.exporters.blackbox.caFile"
    "tls.acme.caFile"
    "tls.certificateFile"
  ];
  secret = lib.filter (option: !lib.elem (name option) public) files;

  # Whether a host says something by an option; of several of a name, whether one does.
  says =
    path: value:
    if value == null || value == { } then
      false
    else if path == [ ] then
      true
    else if lib.head path == "<name>" then
      lib.any (says (lib.tail path)) (lib.attrValues value)
    else
      says (lib.tail path) (value.${lib.head path} or null);

  everyPart =
    (evaluate [
      self.nixosModules.default
      ../lib/every-part.nix
    ]).specialisation.next.configuration.services.aistack;
in
{
  testSecretsAreNeverOfTheStore = {
    expr = map name (lib.filter (option: !lib.hasInfix "not in the Nix store" option.type) secret);
    expected = [ ];
  };
  testTheCheckOfSecretsHasAllOfThem = {
    expr = map name (lib.filter (option: !says (lib.drop 2 option.loc) everyPart) secret);
    expected = [
      # Of stores elsewhere: the check's other node has these.
      "postgresql.passwordFile"
      "redis.passwordFile"
      # For NixOS' own ACME client, which hands them over.
      "tls.acme.credentialFiles"
    ];
  };
}
