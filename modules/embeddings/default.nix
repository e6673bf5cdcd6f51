# Embeddings: any OpenAI-compatible endpoint, or llama.cpp on this host. Without them search is
# lexical.
{ config, lib, ... }:
let
  cfg = config.services.aistack;
  credentials = import ../lib/credentials.nix { inherit lib; };
  given = import ../lib/given.nix { inherit lib; };
  emb = cfg.embeddings;
  at = "services.aistack.embeddings";
  enabled = emb.endpoint != null;
in
{
  imports = [ ./llama-cpp.nix ];

  options.services.aistack.embeddings = {
    endpoint = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "https?://[^@]+[^/]");
      default = null;
      example = "http://127.0.0.1:11434/v1";
      description = ''
        Base URL of an OpenAI-compatible API that answers `POST /embeddings` (Ollama, llama.cpp,
        vLLM, a hosted one). With `null`, search goes by words only.
      '';
    };

    model = lib.mkOption {
      type = lib.types.str;
      default = "";
      example = "nomic-embed-text";
      description = "Name of the model, as the endpoint knows it.";
    };

    dimension = lib.mkOption {
      type = lib.types.ints.between 0 65536;
      default = 0;
      example = 768;
      description = ''
        Length of the model's vectors. After a change of model or dimension, run
        {command}`aistack reindex`: until then a question to a collection with vectors of another
        model is refused, unless it asks for mode `lexical`.
      '';
    };

    apiKeyFile = lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      example = "/run/secrets/embeddings-api-key";
      description = "A file with the endpoint's API key; only root need read it.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = enabled -> emb.model != "" && emb.dimension > 0;
        message = ''
          ${at}.endpoint (${toString emb.endpoint}) needs ${at}.model (now "${emb.model}") and
          ${at}.dimension (now ${toString emb.dimension}): set both.
        '';
      }
      {
        assertion = emb.apiKeyFile != null -> enabled;
        message = "${at}.apiKeyFile is set, but ${at}.endpoint is null: name the endpoint it is for.";
      }
    ];

    services.aistack = lib.mkIf enabled {
      credentials = given { embeddings-api-key = emb.apiKeyFile; };

      settings.embeddings = given {
        inherit (emb) endpoint model dimension;
        api_key_file = credentials.reference "embeddings-api-key" emb.apiKeyFile;
      };
    };
  };
}
