# Puts stillpoint-agent in place, replaces it and takes it away, without leaving anything frozen.
# Read by install.sh and uninstall.sh of the Distributor package; the SSM document
# Stillpoint-InstallAgent has a copy, which a test keeps equal. POSIX shell.
AGENT=/usr/local/bin/stillpoint-agent

# Waits until the agent $1 holds nothing; a hold ends by its own deadline, 120 seconds at most.
wait_for_holds() {
  waited=0
  while "$1" status --json 2>/dev/null | grep -q '"state":"held"'; do
    if [ "$waited" -ge 150 ]; then
      echo "a hold is in place for more than 150 s: stillpoint-agent status" >&2
      return 1
    fi
    [ "$waited" -gt 0 ] || echo "waiting for a hold to end" >&2
    sleep 1
    waited=$((waited + 1))
  done
}

# Puts the file $1, whose SHA-256 must be $2, in the agent's place.
put_agent() {
  found=$(sha256sum "$1" | cut -d' ' -f1)
  if [ "$found" != "$2" ]; then
    echo "sha256: found $found, wanted $2: nothing was installed" >&2
    return 1
  fi
  # On the same filesystem as the old one, so that there is always a whole agent in its place.
  new="$AGENT.new"
  rm -f "$new"
  install -D -m 0755 "$1" "$new" || return 1
  # For another architecture or kernel it fails here, and the old one stays.
  if ! "$new" status >/dev/null; then
    echo "the new agent does not run on this machine: nothing was installed" >&2
    rm -f "$new"
    return 1
  fi
  # A post-script is answered by the agent that answered its pre-script.
  if [ -x "$AGENT" ] && ! wait_for_holds "$AGENT"; then
    rm -f "$new"
    return 1
  fi
  mv -f "$new" "$AGENT"
  echo "installed $AGENT, sha256 $found"
}

# Takes the agent away; no new hold can begin from the rename on.
remove_agent() {
  if [ ! -e "$AGENT" ]; then
    echo "$AGENT is not installed"
    return 0
  fi
  wait_for_holds "$AGENT" || return 1
  old="$AGENT.old"
  mv -f "$AGENT" "$old"
  wait_for_holds "$old"
  # Also ends what a killed holder left. 205: there was nothing to end.
  "$old" thaw >/dev/null 2>&1
  code=$?
  if [ "$code" -ne 0 ] && [ "$code" -ne 205 ]; then
    mv -f "$old" "$AGENT"
    echo "stillpoint-agent thaw ended with $code: something may be frozen, nothing was removed" >&2
    return 1
  fi
  rm -f "$old"
  echo "removed $AGENT"
}
