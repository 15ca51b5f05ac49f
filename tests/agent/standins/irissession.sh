#!/bin/sh
# A stand-in for irissession: NAME -U %SYS METHOD. Exit codes as in the class reference: 5 is yes or
# done, 3 is no or failed; without O/S authentication it asks for a name and ends with 1.
S=@STATE@/$1
echo "$1 $4" >> @STATE@/calls
if [ -e "$S/denied" ]; then echo "Username: Access Denied"; exit 1; fi
case $4 in
  *IsWDSuspendedExt*) if [ -e "$S/suspended" ]; then exit 5; else exit 3; fi ;;
  *ExternalFreeze*)
    if [ -e "$S/freeze-fails" ]; then echo "External Freeze: failed to suspend"; exit 3; fi
    : > "$S/suspended"; exit 5 ;;
  *ExternalThaw*)
    if [ -e "$S/thaw-fails" ]; then echo "External Thaw: failed"; exit 3; fi
    rm -f "$S/suspended"; exit 5 ;;
  *) exit 5 ;;
esac
