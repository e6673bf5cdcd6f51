# The secrets of the stack, by the names under which its units receive them.
{ lib, ... }:
{
  options.services.aistack.credentials = lib.mkOption {
    type = lib.types.attrsOf lib.types.externalPath;
    default = { };
    internal = true;
    description = ''
      Name of a credential -> the file that holds it. The settings file refers to it as
      `credential:NAME`; systemd reads the file as root and hands it to the unit alone.
    '';
  };

  options.services.aistack.socketGroups = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    internal = true;
    description = "Groups of the local stores whose sockets the services reach.";
  };
}
