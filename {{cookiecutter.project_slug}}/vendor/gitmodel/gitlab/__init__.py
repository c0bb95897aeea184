"""What jobs on GitLab do over its API: notes, issues, merge requests, releases."""
