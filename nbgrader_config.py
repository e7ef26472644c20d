# nbgrader in a class folder. `course grade` copies this file there once; from then on the copy is yours to edit, for
# instance for a late policy: c.LateSubmissionPlugin.penalty_method = "zero".
import os

c = get_config()  # noqa: F821
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.CourseDirectory.submitted_directory = "canonical"  # what intake wrote; never the raw hand-ins
c.ZipCollectApp.CourseDirectory.submitted_directory = "submitted"  # intake reads what nbgrader collects there
c.ExchangeFactory.collect = "autograder.classroom.exchange.Collect"
c.ExchangeFactory.release_assignment = "autograder.classroom.exchange.Release"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "cases.npz"]
# What formgrader's Autograde button runs; `course grade` enters the same scores and pages without it.
c.Autograde.sanitize_preprocessors = ["autograder.classroom.record.FetchVerdict"]
c.Autograde.autograde_preprocessors = [
    "autograder.classroom.record.RecordVerdict",
    "nbgrader.preprocessors.AssignLatePenalties",
]
c.GenerateFeedback.exporter_class = "autograder.classroom.rendering.Page"
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.GetGrades",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
