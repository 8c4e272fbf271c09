"""The signed ledger of the history: what each run did to each ministry, bound so that a change of the past shows. Pure.

    records of (run, ministry) --> salted leaf --> root of a run --> entry of the log --> signed checkpoint

Both trees are those of RFC 6962; the checkpoint is a C2SP tlog-checkpoint in a signed note. One ministry's part can be
proved to somebody who sees nothing of the others.
"""

from posture.ledger.canonical import canonical, digest_of
from posture.ledger.note import Checkpoint, NoteError, open_note, sign_note

__all__ = ["Checkpoint", "NoteError", "canonical", "digest_of", "open_note", "sign_note"]
