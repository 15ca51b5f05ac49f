#!/bin/sh
# A stand-in for sqlcmd and the server behind it: batches that end with GO, errors as `Msg`. Follows
# the manual of snapshot backups: a suspension is the server's, and outlasts the client.
S=@STATE@
echo "$*" >> "$S/calls"
if [ "$SQLCMDPASSWORD" != "$(cat "$S/password")" ]; then
  echo "Sqlcmd: Error: Microsoft ODBC Driver 18 for SQL Server : Login failed for user 'sa'.."
  exit 1
fi
batch=
while IFS= read -r line; do
  if [ "$line" != GO ]; then batch="$batch $line"; continue; fi
  case $batch in
    *"SELECT 1"*) echo 1 ;;
    *ProductVersion*) cat "$S/version" ;;
    *SuspendedDatabaseCount*) if [ -e "$S/suspended" ]; then echo 2; else echo 0; fi ;;
    *master_files*) cat "$S/files" ;;
    *"BACKUP = ON"*)
      if [ -e "$S/hangs" ]; then sleep 30; fi
      if [ -e "$S/suspend-fails" ]; then
        echo "Msg 3091, Level 16, State 1, Server here, Line 2"
        echo "Cannot suspend database 'a' for snapshot backup."
      else
        : > "$S/suspended"
        echo "Database 'a' acquired suspend locks in session 61."
      fi ;;
    *"BACKUP = OFF"*) rm -f "$S/suspended"; echo off >> "$S/ended" ;;
    *METADATA_ONLY*)
      if [ -e "$S/backup-fails" ]; then
        echo "Msg 3201, Level 16, State 1, Server here, Line 2"
        echo "Cannot open backup device. Operating system error 112(There is not enough space on the disk.)."
      else
        rm -f "$S/suspended"
        echo "$batch" >> "$S/ended"
        echo "BACKUP SERVER successfully processed 2 databases."
      fi ;;
    *PRINT*) mark=${batch#*\'}; echo "${mark%\'*}" ;;
  esac
  batch=
done
