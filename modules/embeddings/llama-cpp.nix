# An embedding model on this host, served by llama.cpp.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  local = cfg.embeddings.llamaCpp;
in
{
  options.services.aistack.embeddings.llamaCpp = {
    model = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/var/lib/models/nomic-embed-text-v1.5.Q8_0.gguf";
      description = ''
        An embedding model in GGUF format. It is served on loopback by
        {option}`services.llama-cpp`, and becomes the default of
        {option}`services.aistack.embeddings.endpoint`; set
        {option}`services.aistack.embeddings.dimension` to the length of its vectors.
      '';
    };

    port = lib.mkOption {
      type = lib.types.port;
      default = 8093;
      description = "Port of llama.cpp's server, on loopback.";
    };
  };

  config = lib.mkIf (cfg.enable && local.model != null) {
    services.llama-cpp = {
      enable = true;
      host = "127.0.0.1";
      inherit (local) model port;
      extraFlags = [
        "--embeddings"
        # Else an input of more than 512 tokens is refused.
        "--batch-size"
        "2048"
        "--ubatch-size"
        "2048"
      ];
    };

    services.aistack.settings.host.units = [ "llama-cpp.service" ];

    services.aistack.embeddings = {
      endpoint = lib.mkDefault "http://127.0.0.1:${toString local.port}/v1";
      model = lib.mkDefault (lib.removeSuffix ".gguf" (baseNameOf local.model));
    };
  };
}
