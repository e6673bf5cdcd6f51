# Where backups go: folders, S3 buckets, SFTP servers. Their secrets are credentials of the jobs and
# of PostgreSQL alone; the services know names only.
{ config, lib, ... }:
let
  given = import ../lib/given.nix { inherit lib; };
  cfg = config.services.aistack;
  own = cfg.backups;
  at = "services.aistack.backups.repositories";

  text =
    description:
    lib.mkOption {
      type = lib.types.nullOr lib.types.nonEmptyStr;
      default = null;
      inherit description;
    };
  secret =
    description:
    lib.mkOption {
      type = lib.types.nullOr lib.types.externalPath;
      default = null;
      inherit description;
    };
  public =
    description:
    lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      inherit description;
    };

  needed = {
    directory = [ ];
    s3 = [
      "host"
      "bucket"
      "keyIdFile"
      "keySecretFile"
    ];
    sftp = [
      "host"
      "user"
      "privateKeyFile"
      "knownHostsFile"
    ];
  };

  # Option of a secret -> its key in the settings.
  secrets = {
    keyIdFile = "key_id_file";
    keySecretFile = "key_secret_file";
    privateKeyFile = "private_key_file";
  };
  credential = name: key: "backup-${name}-${lib.replaceStrings [ "_" ] [ "-" ] key}";
  secretsOf = repository: lib.filterAttrs (option: _: repository.${option} != null) secrets;

  settingsOf =
    name: repository:
    given {
      inherit (repository)
        kind
        path
        host
        port
        region
        bucket
        user
        ;
      known_hosts_file = lib.mapNullable (file: "${file}") repository.knownHostsFile;
      ca_file = lib.mapNullable (file: "${file}") repository.caFile;
    }
    // lib.mapAttrs' (_: key: lib.nameValuePair key "credential:${credential name key}") (
      secretsOf repository
    );

  directories = lib.filterAttrs (_: repository: repository.kind == "directory") own.repositories;
  badNames = lib.filter (name: builtins.match "[a-z0-9][a-z0-9_-]{0,62}" name == null) (
    lib.attrNames own.repositories
  );
in
{
  options.services.aistack.backups = {
    repositories = lib.mkOption {
      type = lib.types.attrsOf (
        lib.types.submodule {
          options = {
            kind = lib.mkOption {
              type = lib.types.enum (lib.attrNames needed);
              default = "directory";
              description = "What it is: a folder of this host, a bucket of S3, or a folder by SFTP.";
            };
            path = lib.mkOption {
              type = lib.types.strMatching "/[^[:space:]]*";
              example = "/mnt/backup/aistack";
              description = ''
                The folder, from the root; of S3 the first part of all keys, with a slash before it.
                A folder of this host is made if it is not there, and belongs to the user postgres.
              '';
            };
            host = text "Name of the SFTP server, or of the S3 endpoint without `https://`.";
            port = lib.mkOption {
              type = lib.types.nullOr lib.types.port;
              default = null;
              description = "Port; with `null` 22 for SFTP, 443 for S3.";
            };
            region = text "Region of S3; with `null` `us-east-1`.";
            bucket = text "Bucket of S3.";
            user = text "User at the SFTP server.";
            keyIdFile = secret "A file with the id of the S3 access key; only root need read it.";
            keySecretFile = secret "A file with the secret of the S3 access key; only root need read it.";
            privateKeyFile = secret ''
              A file with the private SSH key for SFTP, in PEM format
              ({command}`ssh-keygen -t ecdsa -m PEM`) and without a passphrase; only root need read it.
            '';
            knownHostsFile = public "The SFTP server's host keys, as {command}`ssh-keyscan` prints them.";
            caFile = public ''
              PEM file of the authority that signed an S3 endpoint's certificate; with `null`, the
              host's own authorities count.
            '';
          };
        }
      );
      default.local.path = "/var/backup/aistack";
      example = lib.literalExpression ''
        {
          local.path = "/var/backup/aistack";
          away = {
            kind = "sftp";
            host = "backup.example.org";
            user = "kb";
            path = "/srv/backup/kb";
            privateKeyFile = "/run/secrets/backup-ssh-key";
            knownHostsFile = ./backup-known-hosts;
          };
        }
      '';
      description = ''
        Where backups go, by name; each repository gets everything. Whoever names one here replaces
        the default: name `local` again to keep it.
      '';
    };

    credentials = lib.mkOption {
      type = lib.types.attrsOf lib.types.externalPath;
      internal = true;
      default = { };
      description = "Name of a credential of backups -> the file that holds it.";
    };

    folders = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      internal = true;
      readOnly = true;
      default = lib.mapAttrsToList (_: repository: repository.path) directories;
      defaultText = lib.literalMD "the repositories that are folders";
      description = "The repositories that are folders of this host.";
    };

    onlyFolders = lib.mkOption {
      type = lib.types.bool;
      internal = true;
      readOnly = true;
      default = directories == own.repositories;
      defaultText = lib.literalMD "whether no other host is reached";
      description = "Whether no repository is on another host.";
    };
  };

  config = lib.mkIf (cfg.enable && own.enable) {
    assertions = [
      {
        assertion = own.repositories != { };
        message = "${at} is empty: there is nowhere to put a backup. Name one, or set services.aistack.backups.enable = false.";
      }
      {
        assertion = badNames == [ ];
        message = ''
          ${at} has names that are none: ${lib.concatStringsSep ", " badNames}. Use 1 to 63 of a-z,
          0-9, _ and -, beginning with a letter or digit.
        '';
      }
    ]
    ++ lib.concatLists (
      lib.mapAttrsToList (
        name: repository:
        map (option: {
          assertion = repository.${option} != null;
          message = "${at}.${name}.${option} is null: a repository of kind ${repository.kind} needs it. Set it, or another kind.";
        }) needed.${repository.kind}
      ) own.repositories
    );

    warnings = lib.optional own.onlyFolders ''
      ${at} are folders of this host only: what takes its disks takes the backups with them. Add one
      of kind "sftp" or "s3", or see to it that the folders are on other machines.
    '';

    services.aistack = {
      backups.credentials = lib.concatMapAttrs (
        name: repository:
        lib.mapAttrs' (option: key: lib.nameValuePair (credential name key) repository.${option}) (
          secretsOf repository
        )
      ) own.repositories;

      settings.backup.repositories = lib.mapAttrs settingsOf own.repositories;
    };
  };
}
