#!/bin/sh
# A stand-in for hdbsql: `-U KEY -a -x -j -C SQL`. Follows the SQL reference: a prepared snapshot stays
# until it is closed by its backup id; a closed or unknown one is an error.
S=@STATE@
echo "$SAPSYSTEMNAME $2 $7" >> "$S/calls"
if [ "$2" != "$(cat "$S/key")" ]; then
  echo "* -10104: Invalid value for KEY ($2)"
  exit 3
fi
case $7 in
  "SELECT VERSION"*) echo '"2.00.073.00"' ;;
  *M_SERVICES*) cat "$S/down" 2>/dev/null || echo 0 ;;
  *M_DISKS*) cat "$S/paths" ;;
  *M_BACKUP_CATALOG*) cat "$S/prepared" 2>/dev/null ;;
  *"CREATE SNAPSHOT"*)
    if [ -e "$S/create-fails" ]; then
      echo "* 447: backup could not be completed, [110507] Backint exited with exit code 1"
      exit 3
    fi
    comment=${7#*COMMENT \'}
    echo "1700000000123,\"${comment%\'}\"" > "$S/prepared" ;;
  *"CLOSE SNAPSHOT"*)
    id=${7#*BACKUP_ID }
    if [ -e "$S/close-fails" ] || ! grep -q "^${id%% *}," "$S/prepared" 2>/dev/null; then
      echo "* 447: backup could not be completed, snapshot cannot be closed"
      exit 3
    fi
    rm "$S/prepared"
    echo "$7" >> "$S/closed" ;;
  *) echo "* 257: sql syntax error"; exit 3 ;;
esac
true
