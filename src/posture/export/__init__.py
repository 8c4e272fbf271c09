"""History for auditors: what was found at whose systems, night by night, as files that travel and can be checked.

posture.export.span      whose history, which runs, which assets were whose when
posture.export.findings  every state of every finding in the range
posture.export.nights    planned, done, missed, and why
posture.export.changes   drift, letters in force, exemptions, changes of rules
posture.export.records   the ledger's records of the range, one a line
posture.export.workbook  all of it as a workbook to read
posture.export.write     the file, whole or not at all
"""

from posture.export.span import Span, span_of
from posture.export.write import FORMATS, Export, format_of, stream_export, write_export

__all__ = ["FORMATS", "Export", "Span", "format_of", "span_of", "stream_export", "write_export"]
