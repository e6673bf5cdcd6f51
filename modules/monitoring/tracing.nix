# Traces of requests, sent to a collector: Jaeger, Tempo, an OpenTelemetry Collector.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  own = cfg.monitoring.tracing;
  credentials = import ../lib/credentials.nix { inherit lib; };
  given = import ../lib/given.nix { inherit lib; };
in
{
  options.services.aistack.monitoring.tracing = {
    enable = lib.mkEnableOption ''
      traces of requests, down to each statement of PostgreSQL and each call of Qdrant, Redis and the
      embedding endpoint. It needs nothing else of monitoring'';

    endpoint = lib.mkOption {
      type = lib.types.strMatching "https?://[^@]+";
      default = "http://127.0.0.1:4318";
      example = "https://traces.example.org";
      description = ''
        Base URL of the collector, which takes OTLP over HTTP. While it is away spans are dropped, and
        no request waits.
      '';
    };

    sampleRatio = lib.mkOption {
      type = lib.types.numbers.between 0 1;
      default = 1.0;
      example = 0.1;
      description = "Share of the traces that are taken.";
    };

    headersFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      description = ''
        A file with headers that the collector wants, as a key: one `Name: value` a line.
      '';
    };
  };

  config = lib.mkIf (cfg.enable && own.enable) {
    services.aistack = {
      credentials = given { tracing-headers = own.headersFile; };

      settings.tracing = {
        inherit (own) endpoint;
        sample_ratio = own.sampleRatio;
      }
      // given { headers_file = credentials.reference "tracing-headers" own.headersFile; };
    };
  };
}
