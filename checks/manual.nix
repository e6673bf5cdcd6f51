# The package brings its manual pages, and a shell completes its commands.
{ pkgs, packages }:
pkgs.runCommand "aistack-manual-check" { nativeBuildInputs = [ packages.aistack ]; } ''
  share=${packages.aistack}/share
  for page in aistack.1 aistack-serve.1 aistack-keys-create.1 aistack-backup-drill.1; do
    ls "$share/man/man1/$page"*
  done
  ls "$share/man/man5/aistack.toml.5"*

  # The bash of builds cannot complete.
  ${pkgs.bashInteractive}/bin/bash --norc > completed << EOF
  source $share/bash-completion/completions/aistack.bash
  complete -p aistack
  COMP_WORDS=(aistack keys cr) COMP_CWORD=2
  _aistack_completion aistack
  printf '%s\n' "\''${COMPREPLY[@]}"
  EOF
  cat completed
  grep -x create completed
  grep _AISTACK_COMPLETE=zsh_complete $share/zsh/site-functions/_aistack
  grep _AISTACK_COMPLETE=fish_complete $share/fish/vendor_completions.d/aistack.fish
  touch $out
''
