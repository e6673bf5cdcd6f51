# How a unit gets its secrets: `credentials` are name -> file, the settings say `credential:NAME`.
#
#   serviceConfig.LoadCredential = credentials.load (credentials.only [ "postgres-password" ] all);
{ lib }:
{
  # The setting that names one; null where no file is.
  reference = name: file: if file == null then null else "credential:${name}";

  only = names: lib.filterAttrs (name: _: lib.elem name names);

  load = lib.mapAttrsToList (name: file: "${name}:${file}");

  # For SetCredential=: a blank stands in for a file that is missing, so that the unit starts all the
  # same and says itself what it cannot do.
  orBlank = credentials: map (name: "${name}:\\n") (lib.attrNames credentials);
}
