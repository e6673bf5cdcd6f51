{
  aistack,
  mkShell,
  nixfmt-tree,
  postgresql,
  python3,
  redis,
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
    ruff
  ];

  # The sources as they are, without an installed copy.
  shellHook = ''
    export PYTHONPATH="$PWD/pkgs/aistack-py/src''${PYTHONPATH:+:$PYTHONPATH}"
  '';
}
