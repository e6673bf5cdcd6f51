# Where this host reaches what listens on loopback alone: an option for the other parts to read.
#
#   endpoint = import ./endpoint.nix { inherit lib; } "its Grafana" own.port;
{ lib }:
what: port:
lib.mkOption {
  type = lib.types.str;
  readOnly = true;
  internal = true;
  default = "127.0.0.1:${toString port}";
  defaultText = lib.literalMD "loopback and the port";
  description = "Where this host reaches ${what}.";
}
