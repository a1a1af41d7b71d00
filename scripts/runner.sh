# shellcheck shell=bash
# Runs steps, which are functions of the script that sources this, and sums up what became of them.

: "${root:?}"
# The words for what became of a step.
passed=${passed:-ok}
partly=${partly:-ok, but not all of it ran}
report=()
failures=()

# Where steps and tests write what could not run, a line each: WHAT: WHY
export DOORWARDEN_SKIPPED=$root/target/skipped.txt

in_ci() { [[ ${CI:-} == true ]]; }

# skip WHAT WHY
skip() { echo "not run: $1: $2" && echo "$1: $2" >>"$DOORWARDEN_SKIPPED"; }

count_skipped() { grep -c . "$DOORWARDEN_SKIPPED" || true; }

# Runs a step in a shell of its own, where the first failing command ends it. Never to be called in a condition (`if`, `||`):
# bash then goes on after a failing command, also within the step.
run_step() {
  local step=$1 from=$SECONDS before code=0 result=$passed
  before=$(count_skipped)
  echo "=== $step"
  set +e
  (
    set -e
    "$step"
  )
  code=$?
  set -e
  if ((code)); then
    failures+=("$step")
    result=FAILED
  elif (($(count_skipped) > before)); then
    result=$partly
  fi
  report+=("$(printf '%-14s %5d s   %s' "$step" $((SECONDS - from)) "$result")")
}

# What could not run: how many for each reason.
reasons() {
  sed 's/^[^:]*: //' "$DOORWARDEN_SKIPPED" | sort | uniq -c | sort -rn | head -n 8
}

summary() {
  local skipped
  skipped=$(count_skipped)
  echo "=== summary"
  printf '%s\n' "${report[@]}"
  printf '%-14s %5d s\n' total "$SECONDS"
  if ((skipped)); then
    echo "not run: $skipped, listed in ${DOORWARDEN_SKIPPED#"$root/"}"
    reasons
    if in_ci; then failures+=("what did not run"); fi
  fi
  if ((${#failures[@]})); then
    echo "FAILED: $(printf '%s, ' "${failures[@]}" | sed 's/, $//')"
    return 1
  fi
  echo "everything that ran passed"
}

# run_steps STEP... A failing step does not stop the later ones, but without a `build` there is nothing to test.
run_steps() {
  mkdir -p "$root/target"
  : >"$DOORWARDEN_SKIPPED"
  while (($#)); do
    run_step "$1"
    if [[ $1 == build && " ${failures[*]} " == *" build "* ]]; then
      shift
      for step in "$@"; do skip "$step" "the build failed"; done
      break
    fi
    shift
  done
  summary
}
