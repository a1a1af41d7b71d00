# shellcheck shell=bash
# Functions shared by the scripts in this directory; to be sourced.

# Prints the comment at the top of the script as its help.
usage() {
  sed -n '2,/^[^#]/{/^[^#]/d;s/^# \{0,1\}//;p}' "$0"
}

# die MESSAGE [CODE]
die() {
  echo "scripts/${0##*/}: $1" >&2
  exit "${2:-1}"
}

# Prints an unused port of 127.0.0.1, below the range that the system uses for outgoing connections.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((RANDOM % 12000 + 20000))
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return 0
    fi
  done
  die "found no free port on 127.0.0.1"
}

# Checks the tools that a build needs. An old cargo fails before it reads the required version.
need_toolchain() {
  local wanted version
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml")
  command -v cargo >/dev/null ||
    die "cargo was not found. hint: install Rust $wanted or newer, https://rustup.rs" 69
  version=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p') || true
  [[ -z $version || $(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1) == "$wanted" ]] ||
    die "Rust $wanted or newer is needed, and this is $version ($(command -v cargo)). hint: https://rustup.rs; Debian's own is older" 69
  command -v "${CC:-cc}" >/dev/null ||
    die "no C compiler was found (SQLite and the cryptography are built from C). hint: apt-get install build-essential" 69
}

# Where PostgreSQL's server programs are.
postgres_programs() {
  local candidate found=""
  if candidate=$(command -v initdb) && candidate=$(dirname "$(readlink -f "$candidate")") && [[ -x $candidate/pg_ctl ]]; then
    echo "$candidate"
    return 0
  fi
  for candidate in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin; do
    [[ -x $candidate/initdb && -x $candidate/pg_ctl ]] && found=$candidate
  done
  [[ -n $found ]] && echo "$found"
}

# Is there a Node that is new enough, with npm?
has_node() {
  local version
  command -v npm >/dev/null && version=$(command node --version 2>/dev/null) && version=${version#v} && ((${version%%.*} >= 20))
}

# The scratch folder and the command of a script that runs a command beside a server. `clean_up` is the script's own.
scratch=""
job=""

# Make the scratch folder, and see to it that `clean_up` runs at the end and on signals.
make_scratch() {
  # shellcheck disable=SC2034 # used by clean_up
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/doorwarden.XXXXXX")
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Run a command in a process group of its own, so that a signal to the script can end all of it.
run_job() {
  local code=0
  set -m
  "$@" </dev/null &
  job=$!
  set +m
  wait "$job" || code=$?
  job=""
  return "$code"
}

end_job() {
  if [[ -n $job ]]; then
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  fi
}
