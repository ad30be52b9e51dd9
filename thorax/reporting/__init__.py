"""Answers as DICOM objects, for whoever sent DICOM: a picture for any viewer, and a report that machines can read.

What identifies the patient and the study is copied from the sender's file into the object that goes back to the sender,
as all objects of a study must agree on it (PS3.3 A.1.2). It is kept nowhere.
"""

from thorax.reporting.capture import secondary_capture
from thorax.reporting.report import structured_report
from thorax.reporting.source import Source, source_of, to_bytes

__all__ = ["Source", "secondary_capture", "source_of", "structured_report", "to_bytes"]
