"""The schema's ninth part, as SQL: what grows with every run, as narrow as it goes, and the views that show it in words.

    text_value    every text once, found by a short hash of it
    track         a line of findings: what a vantage was told, or what another judgement makes of the same answers
    verdict       from this run on a finding says this, or nothing any more; the view ``finding`` shows intervals
    silence       what an asset did not tell, all of it in one text: intervals; the view ``miss`` shows each question
    event_row     only such events as are not told by the verdict of their run; the view ``event`` shows all
    packed        sets of assets, and what else is packed, once for all that a run says the same of
    score_row     scores by the number of the ministry's code
    run.moved     the assets of which a run wrote a verdict or an event

``verdict.said`` is outcome * 8 + severity, NULL for nothing any more, and -1 less that for what was gone in the very run
that said it: so what holds is never negative. ``why`` is cause + 5 * end + 25 * gone: why it came; why what was there before
ended, where that differs; why it was gone at once (:mod:`posture.store.verdicts`). ``event``: kind + 16 * initial + 32 for
one that is dated a run earlier + 64 * runs since the answer before.
"""

from __future__ import annotations

from posture.store.views import OUTCOME, SEVERITY, WHOSE

CAUSES = ("first", "target", "policy", "tool", "scope")
KINDS = ("new", "fixed", "regressed", "changed", "unstable", "policy_changed", "tool_changed", "out_of_scope")

PLACE = "asset_id, control_id, subject_id, track_id"

_KEPT = "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;"
_IMMUTABLE = "BEGIN SELECT RAISE(ABORT, 'a closed run is immutable'); END;"
_ONCE = "BEGIN SELECT RAISE(ABORT, 'only an open interval can be closed'); END;"
_CLOSED = "(SELECT state FROM run WHERE id = NEW.{}) <> 'running'"

TABLES = f"""
CREATE TABLE text_once (id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, value TEXT NOT NULL) STRICT;
CREATE TABLE track (id INTEGER PRIMARY KEY, vantage_id INTEGER NOT NULL REFERENCES text_value (id),
  judgement_id INTEGER REFERENCES judgement (id)) STRICT;
CREATE UNIQUE INDEX track_once ON track (vantage_id, coalesce(judgement_id, 0));
CREATE TABLE verdict (asset_id INTEGER NOT NULL REFERENCES asset (id),
  control_id INTEGER NOT NULL REFERENCES control (id), subject_id INTEGER NOT NULL REFERENCES text_value (id),
  track_id INTEGER NOT NULL REFERENCES track (id), from_run INTEGER NOT NULL REFERENCES run (id),
  said INTEGER CHECK (said BETWEEN -37 AND 36 AND max(said, -1 - said) % 8 <= 4),
  body_id INTEGER REFERENCES text_value (id), why INTEGER NOT NULL CHECK (why BETWEEN 0 AND 124), event INTEGER,
  CHECK ((said IS NULL) = (body_id IS NULL)), CHECK ((coalesce(said, 0) < 0) = (why >= 25)),
  PRIMARY KEY ({PLACE}, from_run)) STRICT, WITHOUT ROWID;
CREATE TABLE silence (asset_id INTEGER NOT NULL REFERENCES asset (id),
  vantage_id INTEGER NOT NULL REFERENCES text_value (id), from_run INTEGER NOT NULL REFERENCES run (id),
  to_run INTEGER REFERENCES run (id), said_id INTEGER NOT NULL REFERENCES text_value (id), seconds TEXT NOT NULL,
  PRIMARY KEY (asset_id, vantage_id, from_run)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX silence_open ON silence (asset_id, vantage_id) WHERE to_run IS NULL;
CREATE TABLE packed (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE coverage_row (run_id INTEGER NOT NULL REFERENCES run (id), probe_id INTEGER NOT NULL REFERENCES text_value (id),
  targeted INTEGER NOT NULL REFERENCES packed (id), answered INTEGER NOT NULL REFERENCES packed (id),
  asked_count INTEGER NOT NULL, answered_count INTEGER NOT NULL, PRIMARY KEY (run_id, probe_id)) STRICT, WITHOUT ROWID;
CREATE TABLE judged_row (run_id INTEGER NOT NULL REFERENCES run (id), control_id INTEGER NOT NULL REFERENCES control (id),
  asked INTEGER NOT NULL REFERENCES packed (id), known INTEGER NOT NULL REFERENCES packed (id),
  silent INTEGER NOT NULL REFERENCES packed (id), PRIMARY KEY (run_id, control_id)) STRICT, WITHOUT ROWID;
CREATE TABLE score_row (run_id INTEGER NOT NULL REFERENCES run (id), ministry_id INTEGER NOT NULL REFERENCES text_value (id),
  tenths INTEGER, low INTEGER, high INTEGER, coverage INTEGER NOT NULL, grade TEXT NOT NULL,
  PRIMARY KEY (run_id, ministry_id)) STRICT, WITHOUT ROWID;
"""

# Once the rows are there.
GUARDS = "\n".join(
    [
        "CREATE TRIGGER text_once BEFORE INSERT ON text_value",
        "WHEN EXISTS (SELECT 1 FROM text_value WHERE hash = NEW.hash AND value = NEW.value)",
        "BEGIN SELECT RAISE(ABORT, 'every text stands once'); END;",
        *(
            f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} {_KEPT}\n"
            f"CREATE TRIGGER {table}_frozen BEFORE UPDATE ON {table} {_KEPT}"
            for table in ("track", "packed", "coverage_row", "judged_row", "score_row")
        ),
        *(
            f"CREATE TRIGGER {table}_complete BEFORE INSERT ON {table} WHEN {_CLOSED.format(column)} {_IMMUTABLE}"
            for table, column in (("coverage_row", "run_id"), ("judged_row", "run_id"), ("silence", "from_run"))
        ),
        f"CREATE TRIGGER verdict_kept BEFORE DELETE ON verdict {_KEPT}",
        "CREATE TRIGGER verdict_frozen BEFORE UPDATE ON verdict",
        f"WHEN OLD.event IS NOT NULL OR NEW.event IS NULL OR {_CLOSED.format('from_run')}",
        "  OR NEW.asset_id <> OLD.asset_id OR NEW.control_id <> OLD.control_id OR NEW.subject_id <> OLD.subject_id",
        "  OR NEW.track_id <> OLD.track_id OR NEW.from_run <> OLD.from_run OR NEW.said IS NOT OLD.said",
        f"  OR NEW.body_id IS NOT OLD.body_id OR NEW.why <> OLD.why {_KEPT}",
        "CREATE TRIGGER verdict_complete BEFORE INSERT ON verdict",
        f"WHEN {_CLOSED.format('from_run')}",
        "  AND (SELECT judgement_id FROM track WHERE id = NEW.track_id) IS NULL",
        _IMMUTABLE,
        "CREATE TRIGGER verdict_onwards BEFORE INSERT ON verdict WHEN EXISTS (SELECT 1 FROM verdict AS later",
        "  WHERE later.asset_id = NEW.asset_id AND later.control_id = NEW.control_id AND later.subject_id = NEW.subject_id",
        f"  AND later.track_id = NEW.track_id AND later.from_run > NEW.from_run) {_KEPT}",
        f"CREATE TRIGGER silence_kept BEFORE DELETE ON silence {_KEPT}",
        "CREATE TRIGGER silence_frozen BEFORE UPDATE ON silence",
        "WHEN OLD.to_run IS NOT NULL OR NEW.to_run IS NULL OR NEW.asset_id <> OLD.asset_id",
        "  OR NEW.vantage_id <> OLD.vantage_id OR NEW.from_run <> OLD.from_run OR NEW.said_id <> OLD.said_id",
        f"  OR NEW.seconds <> OLD.seconds {_ONCE}",
    ]
)


def _cause(number: str) -> str:
    words = " ".join(f"WHEN {place} THEN '{cause}'" for place, cause in enumerate(CAUSES))
    return f"CASE {number} {words} END"


def _at_place(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{column} = {other}.{column}" for column in PLACE.split(", "))


_KIND = "CASE verdict.event % 16 " + " ".join(f"WHEN {n} THEN '{kind}'" for n, kind in enumerate(KINDS)) + " END"
_SAID = "max(verdict.said, -1 - verdict.said)"
# Both are looked up by the key, one row each.
_NEXT = f"""LEFT JOIN verdict AS next ON {_at_place("next", "verdict")} AND next.from_run = (
    SELECT min(later.from_run) FROM verdict AS later
    WHERE {_at_place("later", "verdict")} AND later.from_run > verdict.from_run)"""  # noqa: S608 - words of our own
_LAST = f"""LEFT JOIN verdict AS last ON {_at_place("last", "verdict")} AND last.said >= 0 AND last.from_run = (
    SELECT max(older.from_run) FROM verdict AS older
    WHERE {_at_place("older", "verdict")} AND older.from_run < verdict.from_run)"""  # noqa: S608 - words of our own
_ENDED = """CASE WHEN verdict.said < 0 THEN verdict.why / 25 WHEN next.why / 5 % 5 = 0 THEN next.why % 5
    ELSE next.why / 5 % 5 END"""

# CROSS JOIN, where it stands, keeps SQLite from reading all events before it shows the first.
VIEWS = f"""
CREATE VIEW finding AS SELECT verdict.asset_id, verdict.control_id, verdict.subject_id,
  coalesce(track.judgement_id, run.judgement_id) AS judgement_id, track.vantage_id, verdict.from_run,
  CASE WHEN verdict.said < 0 THEN verdict.from_run ELSE next.from_run END AS to_run, track.judgement_id IS NULL AS live,
  {_SAID} >> 3 AS outcome, {_SAID} & 7 AS severity, verdict.body_id, {_cause("verdict.why % 5")} AS cause,
  {_cause(_ENDED)} AS end_cause
FROM verdict JOIN track ON track.id = verdict.track_id JOIN run ON run.id = verdict.from_run {_NEXT}
WHERE verdict.said IS NOT NULL;
CREATE VIEW miss AS SELECT silence.asset_id, json_extract(one.value, '$[0]') AS probe, json_extract(one.value, '$[1]') AS subject,
  silence.vantage_id, silence.from_run, CASE WHEN EXISTS (SELECT 1 FROM silence AS next WHERE next.asset_id = silence.asset_id
    AND next.vantage_id = silence.vantage_id AND next.from_run = silence.to_run)
  THEN (SELECT later.to_run FROM silence AS later, text_value AS told, json_each(told.value, '$.asked') AS same
    WHERE later.asset_id = silence.asset_id AND later.vantage_id = silence.vantage_id AND later.from_run >= silence.from_run
    AND told.id = later.said_id AND json_extract(same.value, '$[0]') = json_extract(one.value, '$[0]')
    AND json_extract(same.value, '$[1]') = json_extract(one.value, '$[1]')
    AND coalesce(json_extract(same.value, '$[3]'), later.from_run) = silence.from_run ORDER BY later.from_run DESC LIMIT 1)
  ELSE silence.to_run END AS to_run,
  strftime('%Y-%m-%dT%H:%M:%SZ', run.started_at, CASE WHEN substr(seconds, 1, 1) = '['
    THEN json_extract(seconds, '$[' || one.key || ']') ELSE seconds END || ' seconds') AS at,
  json_extract(text_value.value, '$.why[' || json_extract(one.value, '$[2]') || '][0]') AS reason,
  json_extract(text_value.value, '$.why[' || json_extract(one.value, '$[2]') || '][1]') AS code,
  json_extract(text_value.value, '$.why[' || json_extract(one.value, '$[2]') || '][2]') AS detail,
  json_extract(text_value.value, '$.why[' || json_extract(one.value, '$[2]') || '][3]') AS authorisation
FROM silence JOIN run ON run.id = silence.from_run JOIN text_value ON text_value.id = silence.said_id,
  json_each(text_value.value, '$.asked') AS one WHERE json_extract(one.value, '$[3]') IS NULL;
CREATE VIEW event AS SELECT verdict.from_run AS run_id, verdict.asset_id, verdict.control_id, text_value.value AS subject,
  {_KIND} AS kind, verdict.event / 16 % 2 AS initial,
  {SEVERITY.format(f"CASE WHEN last.said IS NULL OR verdict.event % 16 = 3 THEN {_SAID} ELSE last.said END & 7")} AS severity,
  {OUTCOME.format("last.said >> 3")} AS before,
  {OUTCOME.format("CASE WHEN verdict.said >= 0 THEN verdict.said >> 3 WHEN verdict.event % 16 = 1 THEN 0 END")} AS after,
  coalesce(earlier.ended_at, earlier.started_at) AS since, coalesce(later.ended_at, later.started_at) AS until
FROM verdict JOIN text_value ON text_value.id = verdict.subject_id
JOIN run AS earlier ON earlier.id = verdict.from_run - verdict.event / 64
JOIN run AS later ON later.id = verdict.from_run - verdict.event / 32 % 2 {_LAST}
WHERE verdict.event IS NOT NULL
UNION ALL SELECT run_id, asset_id, control_id, text_value.value AS subject, kind, initial,
  {SEVERITY.format("severity")} AS severity, {OUTCOME.format("before")} AS before, {OUTCOME.format("after")} AS after,
  coalesce(earlier.ended_at, earlier.started_at) AS since, coalesce(later.ended_at, later.started_at) AS until
FROM event_row JOIN text_value ON text_value.id = subject_id
JOIN run AS earlier ON earlier.id = since_run JOIN run AS later ON later.id = until_run;
CREATE VIEW events AS SELECT run.name AS run, run.ended_at, ministry.code AS ministry, asset.name AS asset,
  asset.kind AS asset_kind, control.code AS control, event.subject, event.kind, event.severity, before, after, since, until
FROM event CROSS JOIN run ON run.id = event.run_id CROSS JOIN asset ON asset.id = event.asset_id
CROSS JOIN control ON control.id = event.control_id {WHOSE.format("event.run_id")};
CREATE VIEW coverage AS SELECT run_id, text_value.value AS probe, asked.data AS targeted, heard.data AS answered,
  asked_count, answered_count FROM coverage_row JOIN text_value ON text_value.id = probe_id
JOIN packed AS asked ON asked.id = targeted JOIN packed AS heard ON heard.id = answered;
CREATE VIEW judged AS SELECT run_id, control_id, whole.data AS asked, part.data AS known, rest.data AS silent
FROM judged_row JOIN packed AS whole ON whole.id = asked JOIN packed AS part ON part.id = known
JOIN packed AS rest ON rest.id = silent;
CREATE VIEW score AS SELECT run_id, text_value.value AS ministry, tenths, low, high, coverage, grade
FROM score_row JOIN text_value ON text_value.id = ministry_id;
CREATE VIEW current_findings AS SELECT ministry.code AS ministry, asset.name AS asset, asset.kind, control.code AS control,
  subject.value AS subject, {OUTCOME.format("said >> 3")} AS outcome, {SEVERITY.format("said & 7")} AS severity,
  json_extract(body.value, '$.tag') AS tag, json_extract(body.value, '$.args') AS args, vantage.value AS vantage,
  run.name AS since_run, run.started_at AS since
FROM (SELECT {PLACE}, max(from_run) AS from_run, said, body_id FROM verdict GROUP BY {PLACE}) AS newest
JOIN track ON track.id = newest.track_id JOIN asset ON asset.id = newest.asset_id
JOIN control ON control.id = newest.control_id JOIN text_value AS subject ON subject.id = newest.subject_id
JOIN text_value AS body ON body.id = newest.body_id JOIN text_value AS vantage ON vantage.id = track.vantage_id
JOIN run ON run.id = newest.from_run
LEFT JOIN declaration ON declaration.asset_id = asset.id AND declaration.to_run IS NULL
LEFT JOIN ministry ON ministry.id = declaration.ministry_id
WHERE said >= 0 AND track.judgement_id IS NULL;
CREATE VIEW not_seen AS SELECT ministry.code AS ministry, asset.name AS asset, asset.kind, probe, subject, reason, miss.code,
  detail, vantage.value AS vantage, began.name AS from_run, miss.at AS since, ended.name AS to_run
FROM miss JOIN asset ON asset.id = miss.asset_id JOIN text_value AS vantage ON vantage.id = miss.vantage_id
JOIN run AS began ON began.id = miss.from_run LEFT JOIN run AS ended ON ended.id = miss.to_run {WHOSE.format("miss.from_run")};
"""  # noqa: S608 - words of our own
