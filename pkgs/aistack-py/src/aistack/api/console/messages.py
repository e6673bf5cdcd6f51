"""What is said after a form was taken. A link names a message, so it can say nothing else."""

from collections.abc import Mapping

MESSAGES: Mapping[str, str] = {
    "resolved": "The issue is resolved. It opens again if it comes back.",
    "reopened": "The issue is open again.",
    "investigating": "The issue is being investigated.",
    "muted": "The issue is muted.",
    "assigned": "The issue has another assignee.",
    "undone": "The run is undone; its line below tells how much came back.",
    "undoing": "The undo goes on in the background; its line below tells how it ends.",
    "revoked": "The key is revoked. Other processes know within five seconds.",
    "signed-out": "You are signed out.",
}
