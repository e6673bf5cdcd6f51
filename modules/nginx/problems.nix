# What nginx itself refuses is told as AIDB tells it: RFC 9457 problem documents.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  enabled = cfg.enable && cfg.nginx.enable && cfg.nginx.domain != null;

  problems = {
    "413" = {
      kind = "too-large";
      title = "Too large";
      detail = "the body is longer than this server takes";
    };
    "429" = {
      kind = "rate-limited";
      title = "Too many requests";
      detail = "too many requests from this address";
    };
    "502" = unavailable;
    "503" = unavailable;
    "504" = unavailable;
  };
  unavailable = {
    kind = "unavailable";
    title = "Not available now";
    detail = "the service does not answer";
  };

  body =
    status: p:
    "{"
    + lib.concatStringsSep "," [
      ''"type":"urn:aistack:problem:${p.kind}"''
      ''"title":"${p.title}"''
      ''"status":${status}''
      ''"detail":"${p.detail}"''
      ''"request_id":"$request_id"''
    ]
    + "}";
in
{
  config = lib.mkIf enabled {
    services.nginx.virtualHosts.${cfg.nginx.domain} = {
      extraConfig = lib.concatMapStrings (status: ''
        error_page ${status} @aistack_${status};
      '') (lib.attrNames problems);

      locations = lib.mapAttrs' (
        status: p:
        lib.nameValuePair "@aistack_${status}" {
          # No add_header here: it would end the inheritance of the host's own headers.
          extraConfig = ''
            internal;
            default_type application/problem+json;
            return ${status} '${body status p}';
          '';
        }
      ) problems;
    };
  };
}
