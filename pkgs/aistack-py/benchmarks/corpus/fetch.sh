#!/usr/bin/env bash
# Build the evaluation corpus: the documentation of a few Debian packages.
#
#   fetch.sh TARGET
#
# Downloads each package with apt-get (nothing is installed) and unpacks what
# lies under usr/share/doc/*/ into TARGET/<package>/. A package whose candidate
# version is already there is left alone, so a second run only prints counts.
# Needs a Debian 12 machine on which `apt-get update` has been run.
set -euo pipefail
export LC_ALL=C

readonly packages=(git-doc postgresql-doc-15 python3.11-doc sqlite3-doc)
readonly documents=(-name '*.html' -o -name '*.htm' -o -name '*.md' -o -name '*.rst' -o -name '*.txt' -o -name '*.pdf')

die() {
  printf 'fetch.sh: %s\n' "$*" >&2
  exit 1
}

# One copy of each text: no sources beside the pages made of them.
drop_twins() {
  local tree=$1 page
  rm -rf "$tree/html/_sources"
  find "$tree" -name '*.html' -print0 | while IFS= read -r -d '' page; do
    rm -f "${page%.html}.txt"
  done
}

# Debian compresses long texts; packed databases and drawings stay as they are.
gunzip_texts() {
  local packed
  find "$1" -name '*.gz' -print0 | while IFS= read -r -d '' packed; do
    # Not `gzip -dc | grep -q`: under pipefail its early exit fails the pipe.
    gzip -dc "$packed" >"$staging/text"
    if grep -Iq . "$staging/text"; then
      mv "$staging/text" "${packed%.gz}"
      rm "$packed"
    fi
  done
}

fetch() {
  local package=$1 version=$2 deb folder tree=$staging/$1/tree
  mkdir -p "$tree"
  (cd "$staging/$package" && apt-get -qq -o APT::Sandbox::User=root download "$package=$version")
  deb=$(find "$staging/$package" -maxdepth 1 -name '*.deb')
  [[ -n $deb ]] || die "$package: apt-get left no package"
  dpkg-deb -x "$deb" "$staging/$package/root"
  for folder in "$staging/$package/root/usr/share/doc"/*/; do
    find "$folder" -type l -delete # second names of a page, or dangling
    cp -R "$folder." "$tree"
  done
  gunzip_texts "$tree"
  drop_twins "$tree"
  chmod -R u+rwX,go+rX "$tree"
  printf '%s\n' "$version" >"$tree/.version"
  rm -rf "${target:?}/$package"
  mv "$tree" "$target/$package"
}

count() {
  find "$@" -type f \( "${documents[@]}" \) -printf '%s\n' |
    awk '{ bytes += $1 } END { printf "%5d documents %7.1f MB", NR, bytes / 1e6 }'
}

[[ $# -eq 1 && -n $1 ]] || die 'usage: fetch.sh TARGET'
mkdir -p "$1"
target=$(cd "$1" && pwd)
readonly target
staging=$(mktemp -d "$target/.staging.XXXXXX")
readonly staging
trap 'rm -rf "$staging"' EXIT

folders=()
for package in "${packages[@]}"; do
  version=$(apt-cache policy "$package" | awk '/Candidate:/ { print $2 }')
  [[ -n $version && $version != '(none)' ]] || die "$package: unknown to apt (apt-get update?)"
  if [[ -e $target/$package && ! -e $target/$package/.version ]]; then
    die "$target/$package is there already and is not mine"
  fi
  if [[ ! -e $target/$package || $(<"$target/$package/.version") != "$version" ]]; then
    fetch "$package" "$version"
  fi
  folders+=("$target/$package")
  printf '%-18s %s  %s\n' "$package" "$(count "$target/$package")" "$version"
done
printf '%-18s %s\n' all "$(count "${folders[@]}")"
