"""The tables of the history, and how an older database becomes today's.

An interval is true from run ``from_run`` up to, not including, run ``to_run``; open while ``to_run`` is NULL.
``vantage_id``, ``subject_id``, ``body_id`` point at text_value, where every text stands once. What grows with every run is
kept narrow (:mod:`posture.store.narrow`); views show it as it is named here: miss, finding, coverage, judged, event, score.

    run          one scan; its answers wait in journal (and what was planned, in planned) until it closes
    declaration  what the inventory said of an asset: intervals
    facts        what the wire said: intervals of blobs by SHA-256; a clear absence is a fact too
    miss         what could not be seen: intervals with the reason (in silence, an asset at a time)
    finding      what the rules made of it: intervals; never an unknown (in verdict, where one begins, changes or goes)
    coverage     per run and probe: which assets were asked, which answered in full
    judged       per run and control: which assets were asked, on which every subject was known
    event        what changed at the end of a run (in verdict too, or in event_row)
    score        what each ministry was given (in score_row)
    contact      what was sent to whom lately, so that limits outlive a process
    authority    under which authorisations a run went, by sequence, digest and signers
    named        under which authorisations the inventory put a ministry, from which run on
    trail        where the audit trail stood at the end of a run
    log_entry    the ledger: one entry per closed run, or per change of the key; leaf, its parts by ministry
    checkpoint   signed notes over the ledger
    rescore      a run's scores under another judgement; rejudged, up to which run its findings were judged under it
    exemption    which exemptions stood in the operator's file when a run began
    score_part   what moved a score since the scored run before, by part of its change; only what moved or happened
    dispute      who says that a finding is wrong, and why; dispute_step, what was decided
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from posture.store import narrow
from posture.store.bitmap import Bitmap
from posture.store.database import APPLICATION_ID, NEWEST
from posture.store.narrowing import narrow_rows
from posture.store.views import COUNTS, EVENTS, KEPT, MOVES, VIEWS

MIGRATIONS = Migrations("posture")

_TABLES = """
CREATE TABLE text_value (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE ministry (id INTEGER PRIMARY KEY, state TEXT NOT NULL, code TEXT NOT NULL, name TEXT NOT NULL,
  UNIQUE (state, code)) STRICT;
CREATE TABLE asset (id INTEGER PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('host', 'zone', 'address')),
  name TEXT NOT NULL, bit INTEGER NOT NULL UNIQUE, UNIQUE (kind, name)) STRICT;
CREATE TABLE control (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE judgement (id INTEGER PRIMARY KEY, policy TEXT NOT NULL, policy_sha256 TEXT NOT NULL, body TEXT NOT NULL,
  rules_sha256 TEXT NOT NULL, rules TEXT NOT NULL, UNIQUE (policy_sha256, rules_sha256)) STRICT;
CREATE TABLE blob (id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, data BLOB NOT NULL) STRICT;
CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, state_code TEXT NOT NULL, timezone TEXT NOT NULL,
  vantage TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT,
  state TEXT NOT NULL CHECK (state IN ('running', 'complete', 'partial', 'stopped', 'quarantined')),
  selectors TEXT NOT NULL, controls TEXT NOT NULL, judgement_id INTEGER NOT NULL REFERENCES judgement (id),
  tool TEXT NOT NULL, inventory_sha256 TEXT NOT NULL, authorisation_sha256 TEXT NOT NULL,
  roots_blob INTEGER REFERENCES blob (id), roots_private INTEGER NOT NULL, lab INTEGER NOT NULL,
  inventory BLOB NOT NULL, suspect INTEGER NOT NULL DEFAULT 0,
  CHECK ((state = 'running') = (ended_at IS NULL))) STRICT;
CREATE UNIQUE INDEX run_open ON run (vantage) WHERE state = 'running';
CREATE TABLE planned (run_id INTEGER NOT NULL REFERENCES run (id), asset_id INTEGER NOT NULL REFERENCES asset (id),
  probe TEXT NOT NULL, subject TEXT NOT NULL, PRIMARY KEY (run_id, asset_id, probe, subject)) STRICT, WITHOUT ROWID;
CREATE TABLE journal (run_id INTEGER NOT NULL REFERENCES run (id), asset_id INTEGER NOT NULL REFERENCES asset (id),
  probe TEXT NOT NULL, subject TEXT NOT NULL, at TEXT NOT NULL, blob_id INTEGER REFERENCES blob (id),
  absent INTEGER NOT NULL, reason TEXT, code TEXT, detail TEXT NOT NULL DEFAULT '', authorisation TEXT,
  CHECK ((blob_id IS NULL) <> (reason IS NULL)),
  PRIMARY KEY (run_id, asset_id, probe, subject)) STRICT, WITHOUT ROWID;
CREATE TABLE declaration (asset_id INTEGER NOT NULL REFERENCES asset (id), from_run INTEGER NOT NULL REFERENCES run (id),
  to_run INTEGER REFERENCES run (id), ministry_id INTEGER NOT NULL REFERENCES ministry (id), body TEXT NOT NULL,
  PRIMARY KEY (asset_id, from_run)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX declaration_open ON declaration (asset_id) WHERE to_run IS NULL;
CREATE TABLE facts (asset_id INTEGER NOT NULL REFERENCES asset (id), probe TEXT NOT NULL,
  subject_id INTEGER NOT NULL REFERENCES text_value (id), vantage_id INTEGER NOT NULL REFERENCES text_value (id),
  from_run INTEGER NOT NULL REFERENCES run (id), to_run INTEGER REFERENCES run (id), at TEXT NOT NULL,
  blob_id INTEGER NOT NULL REFERENCES blob (id), absent INTEGER NOT NULL, authorisation TEXT,
  PRIMARY KEY (asset_id, probe, subject_id, vantage_id, from_run)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX facts_open ON facts (asset_id, probe, subject_id, vantage_id) WHERE to_run IS NULL;
CREATE TABLE miss (asset_id INTEGER NOT NULL REFERENCES asset (id), probe TEXT NOT NULL,
  subject_id INTEGER NOT NULL REFERENCES text_value (id), vantage_id INTEGER NOT NULL REFERENCES text_value (id),
  from_run INTEGER NOT NULL REFERENCES run (id), to_run INTEGER REFERENCES run (id), at TEXT NOT NULL,
  reason TEXT NOT NULL, code TEXT, detail TEXT NOT NULL, authorisation TEXT,
  PRIMARY KEY (asset_id, probe, subject_id, vantage_id, from_run)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX miss_open ON miss (asset_id, probe, subject_id, vantage_id) WHERE to_run IS NULL;
CREATE TABLE finding (asset_id INTEGER NOT NULL REFERENCES asset (id),
  control_id INTEGER NOT NULL REFERENCES control (id), subject_id INTEGER NOT NULL REFERENCES text_value (id),
  judgement_id INTEGER NOT NULL REFERENCES judgement (id), vantage_id INTEGER NOT NULL REFERENCES text_value (id),
  from_run INTEGER NOT NULL REFERENCES run (id), to_run INTEGER REFERENCES run (id),
  live INTEGER NOT NULL CHECK (live IN (0, 1)),
  outcome INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 4), severity INTEGER NOT NULL CHECK (severity BETWEEN 0 AND 4),
  body_id INTEGER NOT NULL REFERENCES text_value (id),
  cause TEXT NOT NULL CHECK (cause IN ('first', 'target', 'policy', 'tool', 'scope')),
  end_cause TEXT CHECK (end_cause IN ('target', 'policy', 'tool', 'scope')),
  CHECK ((to_run IS NULL) = (end_cause IS NULL)),
  PRIMARY KEY (asset_id, control_id, subject_id, judgement_id, vantage_id, from_run)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX finding_open ON finding (asset_id, control_id, subject_id, judgement_id, vantage_id)
  WHERE to_run IS NULL;
CREATE UNIQUE INDEX finding_now ON finding (asset_id, control_id, subject_id, vantage_id) WHERE to_run IS NULL AND live;
CREATE TABLE coverage (run_id INTEGER NOT NULL REFERENCES run (id), probe TEXT NOT NULL, targeted BLOB NOT NULL,
  answered BLOB NOT NULL, PRIMARY KEY (run_id, probe)) STRICT, WITHOUT ROWID;
CREATE TABLE judged (run_id INTEGER NOT NULL REFERENCES run (id), control_id INTEGER NOT NULL REFERENCES control (id),
  asked BLOB NOT NULL, known BLOB NOT NULL, silent BLOB NOT NULL,
  PRIMARY KEY (run_id, control_id)) STRICT, WITHOUT ROWID;
CREATE TABLE event (id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES run (id),
  asset_id INTEGER NOT NULL REFERENCES asset (id), control_id INTEGER NOT NULL REFERENCES control (id),
  subject TEXT NOT NULL, kind TEXT NOT NULL, initial INTEGER NOT NULL, severity TEXT NOT NULL,
  before TEXT, after TEXT, since TEXT, until TEXT,
  UNIQUE (run_id, asset_id, control_id, subject, kind)) STRICT;
CREATE TABLE score (run_id INTEGER NOT NULL REFERENCES run (id), ministry TEXT NOT NULL, tenths INTEGER, low INTEGER,
  high INTEGER, coverage INTEGER NOT NULL, grade TEXT NOT NULL, PRIMARY KEY (run_id, ministry)) STRICT, WITHOUT ROWID;
"""

_TRIGGERS = """
CREATE TRIGGER run_frozen BEFORE UPDATE ON run WHEN OLD.state <> 'running'
BEGIN SELECT RAISE(ABORT, 'a closed run is immutable'); END;
CREATE TRIGGER run_kept BEFORE DELETE ON run BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER finding_kept BEFORE DELETE ON finding BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER finding_frozen BEFORE UPDATE ON finding
WHEN OLD.to_run IS NOT NULL OR NEW.to_run IS NULL OR NEW.asset_id <> OLD.asset_id OR NEW.control_id <> OLD.control_id
  OR NEW.subject_id <> OLD.subject_id OR NEW.judgement_id <> OLD.judgement_id OR NEW.vantage_id <> OLD.vantage_id
  OR NEW.from_run <> OLD.from_run OR NEW.live <> OLD.live OR NEW.outcome <> OLD.outcome
  OR NEW.severity <> OLD.severity OR NEW.body_id <> OLD.body_id OR NEW.cause <> OLD.cause
BEGIN SELECT RAISE(ABORT, 'only an open interval can be closed'); END;
CREATE TRIGGER facts_kept BEFORE DELETE ON facts BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER facts_frozen BEFORE UPDATE ON facts
WHEN OLD.to_run IS NOT NULL OR NEW.to_run IS NULL OR NEW.from_run <> OLD.from_run OR NEW.blob_id <> OLD.blob_id
  OR NEW.asset_id <> OLD.asset_id OR NEW.probe <> OLD.probe OR NEW.subject_id <> OLD.subject_id
  OR NEW.vantage_id <> OLD.vantage_id OR NEW.at <> OLD.at
BEGIN SELECT RAISE(ABORT, 'only an open interval can be closed'); END;
CREATE TRIGGER miss_kept BEFORE DELETE ON miss BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER miss_frozen BEFORE UPDATE ON miss
WHEN OLD.to_run IS NOT NULL OR NEW.to_run IS NULL OR NEW.from_run <> OLD.from_run OR NEW.reason <> OLD.reason
  OR NEW.asset_id <> OLD.asset_id OR NEW.probe <> OLD.probe OR NEW.subject_id <> OLD.subject_id
  OR NEW.vantage_id <> OLD.vantage_id
BEGIN SELECT RAISE(ABORT, 'only an open interval can be closed'); END;
CREATE TRIGGER coverage_frozen BEFORE UPDATE ON coverage BEGIN SELECT RAISE(ABORT, 'a closed run is immutable'); END;
CREATE TRIGGER coverage_kept BEFORE DELETE ON coverage BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER judged_frozen BEFORE UPDATE ON judged BEGIN SELECT RAISE(ABORT, 'a closed run is immutable'); END;
CREATE TRIGGER judged_kept BEFORE DELETE ON judged BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
"""

_VIEWS = """
CREATE VIEW current_findings AS
SELECT ministry.code AS ministry, asset.name AS asset, asset.kind, control.code AS control, subject.value AS subject,
  CASE outcome WHEN 0 THEN 'pass' WHEN 1 THEN 'warn' WHEN 2 THEN 'fail' WHEN 3 THEN 'info' ELSE 'not_applicable' END
    AS outcome,
  CASE severity WHEN 4 THEN 'critical' WHEN 3 THEN 'high' WHEN 2 THEN 'medium' WHEN 1 THEN 'low' ELSE 'info' END
    AS severity,
  json_extract(body.value, '$.tag') AS tag, json_extract(body.value, '$.args') AS args,
  vantage.value AS vantage, run.name AS since_run, run.started_at AS since
FROM finding
JOIN asset ON asset.id = finding.asset_id JOIN control ON control.id = finding.control_id
JOIN text_value AS subject ON subject.id = finding.subject_id JOIN text_value AS body ON body.id = finding.body_id
JOIN text_value AS vantage ON vantage.id = finding.vantage_id JOIN run ON run.id = finding.from_run
LEFT JOIN declaration ON declaration.asset_id = asset.id AND declaration.to_run IS NULL
LEFT JOIN ministry ON ministry.id = declaration.ministry_id
WHERE finding.to_run IS NULL AND finding.live;
"""


@MIGRATIONS(name="0001_intervals")
def _intervals(db: Database) -> None:
    for statement in _statements(_TABLES + _TRIGGERS + _VIEWS):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {NEWEST}")


# What earlier runs sent, so that limits outlive a process; under which letters each run went; where its trail stood.
_SAFETY = """
CREATE TABLE contact (kind TEXT NOT NULL CHECK (kind IN ('smtp', 'sweep')), address TEXT NOT NULL, at REAL NOT NULL,
  count INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (kind, address, at)) STRICT, WITHOUT ROWID;
CREATE TABLE authority (run_id INTEGER NOT NULL REFERENCES run (id), authorisation TEXT NOT NULL,
  sequence INTEGER NOT NULL, sha256 TEXT NOT NULL, signers TEXT NOT NULL,
  PRIMARY KEY (run_id, authorisation)) STRICT, WITHOUT ROWID;
CREATE TABLE trail (run_id INTEGER NOT NULL REFERENCES run (id), seq INTEGER NOT NULL, head TEXT NOT NULL,
  at TEXT NOT NULL, PRIMARY KEY (run_id, seq)) STRICT, WITHOUT ROWID;
"""


@MIGRATIONS(name="0002_safety")
def _safety(db: Database) -> None:
    for statement in _statements(_SAFETY):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {NEWEST}")


# The ledger: entry ``place`` of an RFC 6962 log; a run's entry commits to the root over its ministries' salted leaves.
# ``body`` are zlib-compressed canonical JSON. ``rescore``: a run's scores under another judgement than its own.
_LEDGER = """
CREATE TABLE log_entry (place INTEGER PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('run', 'rotation')),
  run_id INTEGER UNIQUE REFERENCES run (id), body BLOB NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32),
  CHECK ((kind = 'run') = (run_id IS NOT NULL))) STRICT;
CREATE TABLE leaf (ministry TEXT NOT NULL, run_id INTEGER NOT NULL REFERENCES run (id),
  salt BLOB NOT NULL CHECK (length(salt) = 16), body BLOB NOT NULL, PRIMARY KEY (ministry, run_id)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, root BLOB NOT NULL CHECK (length(root) = 32), note TEXT NOT NULL,
  at TEXT NOT NULL) STRICT;
CREATE TABLE rescore (run_id INTEGER NOT NULL REFERENCES run (id),
  judgement_id INTEGER NOT NULL REFERENCES judgement (id), ministry TEXT NOT NULL, tenths INTEGER, low INTEGER,
  high INTEGER, coverage INTEGER NOT NULL, grade TEXT NOT NULL,
  PRIMARY KEY (run_id, judgement_id, ministry)) STRICT, WITHOUT ROWID;
CREATE TRIGGER log_entry_kept BEFORE DELETE ON log_entry BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER log_entry_frozen BEFORE UPDATE ON log_entry BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER leaf_kept BEFORE DELETE ON leaf BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER leaf_frozen BEFORE UPDATE ON leaf BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER checkpoint_kept BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER checkpoint_frozen BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
"""


@MIGRATIONS(name="0003_ledger")
def _ledger(db: Database) -> None:
    for statement in _statements(_LEDGER):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {NEWEST}")


# What one run was judged under beside its own judgement, up to which run; exemptions in the file of each run; disputes.
# Both a run's own findings and those of another judgement may be open at one place.
_AFTERTHOUGHTS = """
DROP INDEX finding_open;
CREATE UNIQUE INDEX finding_open ON finding (asset_id, control_id, subject_id, judgement_id, vantage_id, live)
  WHERE to_run IS NULL;
CREATE TABLE rejudged (judgement_id INTEGER NOT NULL REFERENCES judgement (id),
  vantage_id INTEGER NOT NULL REFERENCES text_value (id), until_run INTEGER NOT NULL REFERENCES run (id),
  PRIMARY KEY (judgement_id, vantage_id)) STRICT, WITHOUT ROWID;
CREATE TABLE exemption (run_id INTEGER NOT NULL REFERENCES run (id), name TEXT NOT NULL,
  body_id INTEGER NOT NULL REFERENCES text_value (id), PRIMARY KEY (run_id, name)) STRICT, WITHOUT ROWID;
CREATE TABLE dispute (id INTEGER PRIMARY KEY, at TEXT NOT NULL, run_id INTEGER NOT NULL REFERENCES run (id),
  asset_id INTEGER NOT NULL REFERENCES asset (id), control_id INTEGER NOT NULL REFERENCES control (id),
  subject TEXT NOT NULL, ministry TEXT NOT NULL, vantage TEXT NOT NULL, outcome TEXT NOT NULL,
  by TEXT NOT NULL CHECK (by <> ''), reason TEXT NOT NULL CHECK (reason <> '')) STRICT;
CREATE TABLE dispute_step (id INTEGER PRIMARY KEY, dispute_id INTEGER NOT NULL REFERENCES dispute (id), at TEXT NOT NULL,
  decision TEXT NOT NULL CHECK (decision IN ('accepted', 'rejected', 'withdrawn', 'reopened')),
  by TEXT NOT NULL CHECK (by <> ''), reason TEXT NOT NULL CHECK (reason <> '')) STRICT;
CREATE TRIGGER rescore_kept BEFORE DELETE ON rescore BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER rescore_frozen BEFORE UPDATE ON rescore BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER rejudged_onwards BEFORE UPDATE ON rejudged
WHEN NEW.until_run < OLD.until_run OR NEW.judgement_id <> OLD.judgement_id OR NEW.vantage_id <> OLD.vantage_id
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER rejudged_kept BEFORE DELETE ON rejudged BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER exemption_kept BEFORE DELETE ON exemption BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER exemption_frozen BEFORE UPDATE ON exemption BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER dispute_kept BEFORE DELETE ON dispute BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER dispute_frozen BEFORE UPDATE ON dispute BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER dispute_step_kept BEFORE DELETE ON dispute_step BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER dispute_step_frozen BEFORE UPDATE ON dispute_step BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
"""


@MIGRATIONS(name="0004_exemptions")
def _exemptions(db: Database) -> None:
    for statement in _statements(_AFTERTHOUGHTS):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {NEWEST}")


# What moved each score; which changed answers were asked for once more in the same run, and whether they stood.
_TREND = """
CREATE TABLE score_part (run_id INTEGER NOT NULL REFERENCES run (id), ministry TEXT NOT NULL, part TEXT NOT NULL,
  tenths INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (run_id, ministry, part)) STRICT, WITHOUT ROWID;
CREATE TABLE second_look (run_id INTEGER NOT NULL REFERENCES run (id), asset_id INTEGER NOT NULL REFERENCES asset (id),
  probe TEXT NOT NULL, subject TEXT NOT NULL, said TEXT NOT NULL CHECK (said IN ('same', 'other', 'nothing')),
  PRIMARY KEY (run_id, asset_id, probe, subject)) STRICT, WITHOUT ROWID;
CREATE INDEX score_by_ministry ON score (ministry, run_id);
CREATE TRIGGER score_part_kept BEFORE DELETE ON score_part BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER score_part_frozen BEFORE UPDATE ON score_part BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER second_look_kept BEFORE DELETE ON second_look BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
"""


@MIGRATIONS(name="0005_trend")
def _trend(db: Database) -> None:
    for statement in _statements(_TREND):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {NEWEST}")


# Which letters are a ministry's: facts name those under which they were first seen, which may have ended long ago.
_NAMED = """
CREATE TABLE named (ministry TEXT NOT NULL, from_run INTEGER NOT NULL REFERENCES run (id), authorisations TEXT NOT NULL,
  PRIMARY KEY (ministry, from_run)) STRICT, WITHOUT ROWID;
CREATE TRIGGER named_kept BEFORE DELETE ON named BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER named_frozen BEFORE UPDATE ON named BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
"""


@MIGRATIONS(name="0007_named")
def _named(db: Database) -> None:
    for statement in _statements(_NAMED):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {NEWEST}")


@MIGRATIONS(name="0008_views")
def _views(db: Database) -> None:
    for statement in _statements(MOVES + EVENTS + COUNTS):
        db.execute(statement)
    _count_coverage(db)
    for statement in _statements(KEPT + VIEWS):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {NEWEST}")


def _count_coverage(db: Database) -> None:
    """Of runs that closed before there were counts."""
    frozen = db.execute("SELECT sql FROM sqlite_master WHERE name = 'coverage_frozen'").fetchone()[0]
    db.execute("DROP TRIGGER coverage_frozen")
    rows = db.execute("SELECT run_id, probe, targeted, answered FROM coverage").fetchall()
    for run, probe, targeted, answered in rows:
        counts = (len(Bitmap.unpack(targeted)), len(Bitmap.unpack(answered)))
        update = "UPDATE coverage SET asked_count = ?, answered_count = ? WHERE run_id = ? AND probe = ?"
        db.execute(update, (*counts, run, probe))
    db.execute(frozen)


@MIGRATIONS(name="0009_narrow")
def _narrow(db: Database) -> None:
    narrow_rows(db, _statements(narrow.TABLES), _statements(narrow.GUARDS), _statements(narrow.VIEWS))
    db.execute(f"PRAGMA user_version = {NEWEST}")


def _statements(script: str) -> list[str]:
    """One by one, because executescript would commit the transaction that a migration runs in."""
    statements, buffer = [], ""
    for line in script.splitlines():
        buffer += line + "\n"
        if buffer.rstrip().endswith(";") and ("CREATE TRIGGER" not in buffer or buffer.rstrip().endswith("END;")):
            statements.append(buffer.strip())
            buffer = ""
    return statements
