{
  aistack,
  mkShell,
  nixfmt-tree,
  postgresql,
  python3,
  redis,
  restic,
  ruff,
}:
mkShell {
  packages = [
    (python3.withPackages (
      ps:
      aistack.dependencies
      ++ [
        ps.hypothesis
        ps.mypy
        ps.pytest
        ps.pytest-timeout
      ]
    ))
    nixfmt-tree
    postgresql
    redis
    restic
    ruff
  ];

  # The sources as they are, without an installed copy.
  shellHook = ''
    export PYTHONPATH="$PWD/pkgs/aistack-py/src''${PYTHONPATH:+:$PYTHONPATH}"
  '';
}
