#!/usr/bin/env bash
# Kills the agent 100 times (or $1 times) at random moments under load, and adds up what arrived.
# $2 is the seed; each run prints its own, so that it can be repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
export WEIR_TEST_KILLS=${1:-100} WEIR_TEST_SEED=${2:-$RANDOM}
exec cargo test -p agent --test e2e a_kill_at_any_moment -- --nocapture
