"""Files that people bring: resumable uploads, what is in them, and how a stage comes to read one.

limits.py      how much anybody may bring
received.py    the bytes on the disk: what was acknowledged once is never lost
uploads.py     uploads by id: begin, receive, look at, delete; quotas; what nobody goes on with expires
checking.py    looks into a file in a process of its own (check_process.py), which may fail or fall without harm
downloads.py   what runs wrote to be fetched
places.py      `upload:<id>` and `download:<name>` in a stage's settings
"""
