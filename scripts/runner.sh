# shellcheck shell=bash
# Runs steps, which are functions of the script that sources this file, and summarizes their results.

: "${root:?}"
# The results of a step.
passed=${passed:-ok}
partly=${partly:-ok, but not all of it ran}
report=()
failures=()

# Where steps and tests list what was skipped, one per line: WHAT: WHY
export DOORWARDEN_SKIPPED=$root/target/skipped.txt

in_ci() { [[ ${CI:-} == true ]]; }

# skip WHAT WHY
skip() { echo "not run: $1: $2" && echo "$1: $2" >>"$DOORWARDEN_SKIPPED"; }

count_skipped() { grep -c . "$DOORWARDEN_SKIPPED" || true; }

# Runs a step in a subshell, which the first failing command ends. Never call it in a condition (`if`, `||`): bash then
# continues after a failing command, even within the step.
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

# What was skipped, counted by reason.
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

# run_steps STEP... A failing step does not stop the later ones, but after a failing `build` there is nothing to test.
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
