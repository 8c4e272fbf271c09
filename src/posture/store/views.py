"""The schema's fifth part, as SQL: what makes drift of a year quick and small, what keeps closed runs as they are, and views
with plain names for whoever opens the history with another program.
"""

from __future__ import annotations

OUTCOME = "CASE {} WHEN 0 THEN 'pass' WHEN 1 THEN 'warn' WHEN 2 THEN 'fail' WHEN 3 THEN 'info' WHEN 4 THEN 'not_applicable' END"
SEVERITY = (
    "CASE {} WHEN 4 THEN 'critical' WHEN 3 THEN 'high' WHEN 2 THEN 'medium' WHEN 1 THEN 'low' WHEN 0 THEN 'info' END"
)

# What moved between two runs is found by what ended, and by what began open: other beginnings are no event.
# ``finding_now`` keeps of live rows what ``finding_open`` kept.
MOVES = """
CREATE INDEX finding_ended ON finding (to_run) WHERE to_run IS NOT NULL;
CREATE INDEX finding_began ON finding (from_run) WHERE outcome IN (1, 2);
DROP INDEX finding_open;
CREATE UNIQUE INDEX finding_open ON finding (asset_id, control_id, subject_id, judgement_id, vantage_id)
  WHERE to_run IS NULL AND live = 0;
"""

# Events, a fifth as large: numbers instead of words and times. ``event`` shows them as they were.
EVENTS = f"""
CREATE TABLE event_row (run_id INTEGER NOT NULL REFERENCES run (id), asset_id INTEGER NOT NULL REFERENCES asset (id),
  control_id INTEGER NOT NULL REFERENCES control (id), subject_id INTEGER NOT NULL REFERENCES text_value (id),
  kind TEXT NOT NULL, initial INTEGER NOT NULL, severity INTEGER NOT NULL CHECK (severity BETWEEN 0 AND 4),
  before INTEGER CHECK (before BETWEEN 0 AND 4), after INTEGER CHECK (after BETWEEN 0 AND 4),
  since_run INTEGER NOT NULL REFERENCES run (id), until_run INTEGER NOT NULL REFERENCES run (id),
  PRIMARY KEY (run_id, asset_id, control_id, subject_id, kind)) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO text_value (value) SELECT DISTINCT subject FROM event;
INSERT INTO event_row SELECT run_id, asset_id, control_id, (SELECT id FROM text_value WHERE value = subject), kind, initial,
  CASE severity WHEN 'critical' THEN 4 WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1 ELSE 0 END,
  CASE before WHEN 'pass' THEN 0 WHEN 'warn' THEN 1 WHEN 'fail' THEN 2 WHEN 'info' THEN 3 WHEN 'not_applicable' THEN 4 END,
  CASE after WHEN 'pass' THEN 0 WHEN 'warn' THEN 1 WHEN 'fail' THEN 2 WHEN 'info' THEN 3 WHEN 'not_applicable' THEN 4 END,
  coalesce((SELECT max(id) FROM run WHERE ended_at = since), run_id),
  coalesce((SELECT max(id) FROM run WHERE ended_at = until), run_id) FROM event WHERE after IS NOT 'unknown';
DROP TABLE event;
CREATE VIEW event AS SELECT run_id, asset_id, control_id, text_value.value AS subject, kind, initial,
  {SEVERITY.format("severity")} AS severity, {OUTCOME.format("before")} AS before, {OUTCOME.format("after")} AS after,
  coalesce(earlier.ended_at, earlier.started_at) AS since, coalesce(later.ended_at, later.started_at) AS until
FROM event_row JOIN text_value ON text_value.id = subject_id
JOIN run AS earlier ON earlier.id = since_run JOIN run AS later ON later.id = until_run;
"""  # noqa: S608 - words of our own

# Bitmaps cannot be counted in SQL: their counts stand beside them.
COUNTS = """
ALTER TABLE coverage ADD COLUMN asked_count INTEGER;
ALTER TABLE coverage ADD COLUMN answered_count INTEGER;
"""

# A closed run stays as it is: nothing of it is altered or goes, and nothing comes to it.
_CLOSED = "(SELECT state FROM run WHERE id = NEW.{}) <> 'running'"
_APPEND_ONLY = ("event_row", "score", "judgement", "authority")
_OF_A_RUN = {"coverage": "run_id", "judged": "run_id", "event_row": "run_id", "facts": "from_run", "miss": "from_run"}
KEPT = "\n".join(
    [
        *(
            f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;\n"
            f"CREATE TRIGGER {table}_frozen BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;"
            for table in _APPEND_ONLY
        ),
        *(
            f"CREATE TRIGGER {table}_complete BEFORE INSERT ON {table} WHEN {_CLOSED.format(column)}\n"
            "BEGIN SELECT RAISE(ABORT, 'a closed run is immutable'); END;"
            for table, column in _OF_A_RUN.items()
        ),
        f"CREATE TRIGGER finding_complete BEFORE INSERT ON finding WHEN NEW.live AND {_CLOSED.format('from_run')}\n"
        "BEGIN SELECT RAISE(ABORT, 'a closed run is immutable'); END;",
        "CREATE TRIGGER asset_kept BEFORE DELETE ON asset BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;",
        "CREATE TRIGGER asset_frozen BEFORE UPDATE OF bit ON asset BEGIN SELECT RAISE(ABORT, 'an asset keeps its bit'); END;",
        "CREATE TRIGGER declaration_kept BEFORE DELETE ON declaration",
        "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;",
        "CREATE TRIGGER declaration_frozen BEFORE UPDATE ON declaration",
        "WHEN OLD.to_run IS NOT NULL OR NEW.to_run IS NULL OR NEW.asset_id <> OLD.asset_id OR NEW.from_run <> OLD.from_run",
        "  OR NEW.ministry_id <> OLD.ministry_id OR NEW.body <> OLD.body",
        "BEGIN SELECT RAISE(ABORT, 'only an open interval can be closed'); END;",
    ]
)

# Whose an asset was when a run ended.
WHOSE = """LEFT JOIN declaration ON declaration.asset_id = asset.id AND declaration.from_run <= {0}
  AND (declaration.to_run IS NULL OR declaration.to_run > {0})
LEFT JOIN ministry ON ministry.id = declaration.ministry_id"""
VIEWS = f"""
CREATE VIEW runs AS SELECT run.name AS run, started_at, ended_at, state, vantage, judgement.policy AS policy, tool,
  suspect, selectors FROM run JOIN judgement ON judgement.id = run.judgement_id;
CREATE VIEW finding_history AS SELECT ministry.code AS ministry, asset.name AS asset, asset.kind, control.code AS control,
  subject.value AS subject, {OUTCOME.format("outcome")} AS outcome, {SEVERITY.format("finding.severity")} AS severity,
  json_extract(body.value, '$.tag') AS tag, json_extract(body.value, '$.args') AS args, cause, end_cause,
  vantage.value AS vantage, began.name AS from_run, began.started_at AS since, ended.name AS to_run,
  ended.started_at AS until, judgement.policy AS policy
FROM finding JOIN asset ON asset.id = finding.asset_id JOIN control ON control.id = finding.control_id
JOIN text_value AS subject ON subject.id = finding.subject_id JOIN text_value AS body ON body.id = finding.body_id
JOIN text_value AS vantage ON vantage.id = finding.vantage_id JOIN run AS began ON began.id = finding.from_run
JOIN judgement ON judgement.id = finding.judgement_id LEFT JOIN run AS ended ON ended.id = finding.to_run
{WHOSE.format("finding.from_run")} WHERE finding.live;
CREATE VIEW events AS SELECT run.name AS run, run.ended_at, ministry.code AS ministry, asset.name AS asset,
  asset.kind AS asset_kind, control.code AS control, event.subject, event.kind, event.severity, before, after, since, until
FROM event JOIN run ON run.id = event.run_id JOIN asset ON asset.id = event.asset_id
JOIN control ON control.id = event.control_id {WHOSE.format("event.run_id")};
CREATE VIEW scores AS SELECT run.name AS run, run.ended_at, score.ministry,
  tenths / 10.0 AS score, low / 10.0 AS low, high / 10.0 AS high, coverage / 10.0 AS coverage_percent, grade
FROM score JOIN run ON run.id = score.run_id;
CREATE VIEW coverage_by_run AS SELECT run.name AS run, run.started_at, run.vantage, probe, asked_count AS asked,
  answered_count AS answered, asked_count - answered_count AS silent
FROM coverage JOIN run ON run.id = coverage.run_id;
CREATE VIEW not_seen AS SELECT ministry.code AS ministry, asset.name AS asset, asset.kind, probe, subject.value AS subject,
  reason, miss.code, detail, vantage.value AS vantage, began.name AS from_run, miss.at AS since, ended.name AS to_run
FROM miss JOIN asset ON asset.id = miss.asset_id JOIN text_value AS subject ON subject.id = miss.subject_id
JOIN text_value AS vantage ON vantage.id = miss.vantage_id JOIN run AS began ON began.id = miss.from_run
LEFT JOIN run AS ended ON ended.id = miss.to_run {WHOSE.format("miss.from_run")};
"""  # noqa: S608 - words of our own
