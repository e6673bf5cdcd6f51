{
  lib,
  installShellFiles,
  mandoc,
  nginx,
  postgresql,
  prometheus,
  python3Packages,
  redis,
  restic,
  stdenv,

  # The tests take minutes: a host that switches need not wait for them. The check `package` builds
  # this with them.
  withTests ? false,
}:
python3Packages.buildPythonApplication {
  pname = "aistack";
  version = (lib.importTOML ./pyproject.toml).project.version;
  pyproject = true;

  src = lib.fileset.toSource {
    root = ./.;
    fileset = lib.fileset.unions (
      [
        ./README.md
        ./pyproject.toml
        ./src
      ]
      ++ lib.optional withTests ./tests
    );
  };

  build-system = [ python3Packages.hatchling ];

  dependencies = [
    python3Packages.click
    python3Packages.cryptography
    python3Packages.httpcore
    python3Packages.httptools
    python3Packages.httpx
    python3Packages.jinja2
    python3Packages.lxml
    python3Packages.mcp
    python3Packages.msgspec
    python3Packages.numpy
    python3Packages.opentelemetry-exporter-otlp-proto-http
    python3Packages.opentelemetry-sdk
    python3Packages.prometheus-client
    python3Packages.psycopg
    python3Packages.pypdf
    python3Packages.pystemmer
    python3Packages.qdrant-client
    python3Packages.redis
    python3Packages.starlette
    python3Packages.uvicorn
    python3Packages.uvloop
  ]
  ++ python3Packages.psycopg.optional-dependencies.c
  ++ python3Packages.psycopg.optional-dependencies.pool;

  nativeBuildInputs = [ installShellFiles ];

  doCheck = withTests;

  # Some tests start PostgreSQL, Redis and nginx servers of their own, compare restic's rules with
  # ours, try the alerts with promtool and read the manual pages.
  nativeCheckInputs = [
    mandoc
    nginx
    postgresql
    prometheus.cli
    python3Packages.hypothesis
    python3Packages.pytest-timeout
    python3Packages.pytest-xdist
    python3Packages.pytestCheckHook
    python3Packages.pyyaml
    python3Packages.sentry-sdk
    redis
    restic
  ];

  # A process a core takes tests from the others when it has none left.
  pytestFlags = [
    "--numprocesses=auto"
    "--dist=worksteal"
    # What another version of a library warns of is no failure here; to `make check` it is one.
    "-Wdefault"
  ];

  disabledTestPaths = [
    # schemathesis, which these need, is not in nixpkgs; `make check` runs them.
    "tests/contract"
    # A browser.
    "tests/browser"
    # certbot and an ACME server; the check `tls-certbot` has both.
    "tests/tls/test_certbot.py"
  ];

  # This finds out whether the code works with nixpkgs's Python and libraries; with nixpkgs's servers the
  # checks that boot machines do, as a host runs them. pyproject.toml says what is left out, and
  # `make check` runs it.
  disabledTestMarks = [
    "server"
    "slow"
  ];

  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    installShellCompletion --cmd aistack \
      --bash <(_AISTACK_COMPLETE=bash_source $out/bin/aistack) \
      --fish <(_AISTACK_COMPLETE=fish_source $out/bin/aistack) \
      --zsh <(_AISTACK_COMPLETE=zsh_source $out/bin/aistack)
    $out/bin/aistack manual manual
    installManPage manual/*/*
  '';

  pythonImportsCheck = [ "aistack" ];

  meta = {
    description = "Self-hosted AI stack: a knowledge base with hybrid search over HTTP and MCP";
    license = lib.licenses.mit;
    mainProgram = "aistack";
    platforms = lib.platforms.linux;
  };
}
