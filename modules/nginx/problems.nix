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
      retryAfter = 10;
    };
    "502" = unavailable 2;
    "503" = unavailable 2;
    "504" = unavailable 10;
  };
  unavailable = retryAfter: {
    kind = "unavailable";
    title = "Not available now";
    detail = "the service does not answer";
    inherit retryAfter;
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
          extraConfig = ''
            internal;
            default_type application/problem+json;
            add_header X-Request-Id $request_id always;
            add_header X-Content-Type-Options nosniff always;
          ''
          + lib.optionalString (p ? retryAfter) ''
            add_header Retry-After ${toString p.retryAfter} always;
          ''
          + ''
            return ${status} '${body status p}';
          '';
        }
      ) problems;
    };
  };
}
