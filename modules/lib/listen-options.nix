# Where a service listens: the options that AIDB and the coordinator have alike.
{ lib }:
{
  title,
  port,
  own,
}:
let
  loopback = [
    "127.0.0.1"
    "::1"
    "localhost"
  ];
in
{
  address = lib.mkOption {
    type = lib.types.str;
    default = "127.0.0.1";
    example = "192.168.10.2";
    description = ''
      Address that ${title} listens on. Beyond loopback it answers without TLS: prefer
      {option}`services.aistack.nginx.enable`.
    '';
  };

  port = lib.mkOption {
    type = lib.types.port;
    default = port;
    description = "TCP port of ${title}: HTTP under `/v1`, MCP under `/mcp`.";
  };

  workers = lib.mkOption {
    type = lib.types.ints.between 1 64;
    default = 1;
    description = "Number of processes that answer; each takes one core at most.";
  };

  allowedHosts = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    example = [ "kb.example.org" ];
    description = ''
      Host names by which clients may ask for MCP, besides loopback ones;
      {option}`services.aistack.nginx.domain` is always among them.
    '';
  };

  endpoint = lib.mkOption {
    type = lib.types.str;
    readOnly = true;
    internal = true;
    default =
      (if lib.hasInfix ":" own.address then "[${own.address}]" else own.address)
      + ":${toString own.port}";
    defaultText = lib.literalMD "the address and the port";
    description = "Where ${title} is reached from this host, as URLs have it.";
  };

  onLoopback = lib.mkOption {
    type = lib.types.bool;
    readOnly = true;
    internal = true;
    default = lib.elem own.address loopback || lib.hasPrefix "127." own.address;
    defaultText = lib.literalMD "whether the address is a loopback one";
    description = "Whether ${title} is reached from this host only.";
  };
}
